//! When somebody who is away comes back: the date in an automatic reply, where it is sure.
//!
//! A date counts only with its year, and beside words that announce it: that one is back then, or else away until then. Of several, those
//! that say "back" win; dates that could be read in two ways, and "up to and including", are left alone.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::text::{self, Text};

/// So much of a reply is looked at, in octets.
const MAX_READ: usize = 4096;
/// So far before a date its announcement may stand, in octets.
const NEAR: usize = 48;

/// The months' names, folded, in the languages that write them out.
const MONTHS: [&str; 12] = [
    "january januar janner janvier enero gennaio janeiro januari stycznia styczen ledna leden tammikuuta ocak ianuarie januara января январь січня ιανουαριου",
    "february februar fevrier febrero febbraio fevereiro februari lutego luty unora unor februara helmikuuta subat februarie февраля февраль лютого",
    "march marz maerz mars marzo marco maart marca marzec brezna brezen maaliskuuta mart martie март марта березня marcius",
    "april avril abril aprile kwietnia kwiecien dubna duben huhtikuuta nisan aprilie апреля апрель квітня aprilis",
    "may mai mayo maggio maio mei maja maj kvetna kveten toukokuuta mayis мая май травня majus",
    "june juni juin junio giugno junho czerwca czerwiec cervna cerven kesakuuta haziran iunie июня июнь червня junius",
    "july juli juillet julio luglio julho lipca lipiec cervence cervenec heinakuuta temmuz iulie июля июль липня julius",
    "august aout agosto augustus augusti sierpnia sierpien srpna srpen elokuuta agustos августа август серпня augusztus",
    "september septembre septiembre settembre setembro wrzesnia wrzesien zari syyskuuta eylul septembrie сентября сентябрь вересня szeptember",
    "october oktober octobre octubre ottobre outubro pazdziernika pazdziernik rijna rijen lokakuuta ekim octombrie октября октябрь жовтня",
    "november novembre noviembre novembro listopada listopad marraskuuta kasim noiembrie ноября ноябрь листопада",
    "december dezember decembre diciembre dicembre dezembro grudnia grudzien prosince prosinec joulukuuta aralik decembrie декабря декабрь грудня",
];

/// "Listopad" is November in Polish and October in Croatian; a name in two rows of the table is no month.
fn month(name: &str) -> Option<u32> {
    let name = name.trim_end_matches('.');
    let known = |row: &&str| row.split(' ').any(|known| known == name || name.chars().count() >= 3 && known.starts_with(name));
    let mut rows = (1..).zip(&MONTHS).filter(|(_, row)| known(row));
    let first = rows.next().map(|(number, _)| number);
    first.filter(|_| rows.next().is_none())
}

struct Forms {
    iso: Regex,
    numbers: Regex,
    day_first: Regex,
    month_first: Regex,
    wide: Regex,
    back: Regex,
    until: Regex,
    inclusive: Regex,
    after_wide: Regex,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| Forms::compile().ok());

impl Forms {
    fn compile() -> Result<Forms, regex::Error> {
        Ok(Forms {
            iso: Regex::new(r"\b(?<y>20\d\d)-(?<m>\d\d?)-(?<d>\d\d?)\b")?,
            numbers: Regex::new(r"\b(?<a>\d{1,2})(?<mark>[./-]) ?(?<b>\d{1,2})[./-] ?(?<y>20\d\d)\b")?,
            day_first: Regex::new(
                r"\b(?<d>\d{1,2})(?:st|nd|rd|th|er|\.|-го)? (?:de |of |d'|den )?(?<name>\p{L}{3,14}\.?),?(?: de| del)? (?<y>20\d\d)\b",
            )?,
            month_first: Regex::new(r"\b(?<name>\p{L}{3,14}\.?) (?<d>\d{1,2})(?:st|nd|rd|th)?,? (?<y>20\d\d)\b")?,
            wide: Regex::new(r"(?<y>20\d\d) ?(?:年|년) ?(?<m>\d{1,2}) ?(?:月|월) ?(?<d>\d{1,2}) ?(?:日|号|일)")?,
            back: Regex::new(
                r"\b(?:back|return\w*|resum\w*|wieder|zuruck|zurueck|retour|regres\w+|vuelv\w+|vuelta|reincorpor\w+|rientr\w+|torn\w+|di nuovo|retorn\w+|volt\w+|terug|wroc\w+|wrac\w+|zpet|spat|ater|tilbage|tilbake|takaisin|palaan|вернусь|вернётся|вернется|выхожу|выйду|повернусь|donec\w+|vissza\w*|revin|geri)\b",
            )?,
            until: Regex::new(r"\b(?:until|till?|bis|jusqu\S*|hasta|fino al?|ate|tot|do|dal|asti|до|pana la|away through)\b")?,
            inclusive: Regex::new(
                r"\b(?:incl\w*|through|einschl\w*|inklusive|einschliesslich|t/m|tot en met|t\.?o\.?m|wlacznie|включительно|inclus\w*|compreso)\b",
            )?,
            after_wide: Regex::new(
                r"^ ?(?:\([^)]{1,6}\) ?)?(?:より|から|に復帰|に出社|以降|回来|返回|回到|上班|起恢复|부터|복귀|에 복귀)",
            )?,
        })
    }
}

/// How sure a date is the day of return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Until,
    Back,
}

/// The day on which the writer returns, as an ISO 8601 date.
pub fn returns(subject: &str, own: &str) -> Option<String> {
    let forms = FORMS.as_ref()?;
    let words = Text::new(text::cut(own, MAX_READ));
    let subject = Text::new(text::cut(subject, MAX_READ));
    let mut all: Vec<(Said, String)> = forms.announced(words.norm());
    all.extend(forms.announced(subject.norm()));
    let best = all.iter().map(|(said, _)| *said).max()?;
    let mut days = all.into_iter().filter(|(said, _)| *said == best).map(|(_, day)| day);
    let first = days.next()?;
    days.all(|day| day == first).then_some(first)
}

impl Forms {
    fn announced(&self, text: &str) -> Vec<(Said, String)> {
        let number = |found: &Captures<'_>, name: &str| found.name(name).and_then(|digits| digits.as_str().parse::<u32>().ok());
        let mut all = Vec::new();
        for form in [&self.iso, &self.numbers, &self.day_first, &self.month_first, &self.wide] {
            for found in form.captures_iter(text) {
                let (Some(whole), Some(year)) = (found.get(0), number(&found, "y")) else { continue };
                let named = found.name("name").map(|name| month(name.as_str()));
                let parts = match (named, number(&found, "a"), number(&found, "b")) {
                    (Some(named), ..) => named.zip(number(&found, "d")),
                    (None, Some(a), Some(b)) => of_numbers(a, b, found.name("mark").is_some_and(|mark| mark.as_str() == ".")),
                    _ => number(&found, "m").zip(number(&found, "d")),
                };
                let Some((month, day)) = parts else { continue };
                let Ok(date) = calendar_day(year, month, day) else { continue };
                if let Some(said) = self.said(text, whole.start(), whole.end()) {
                    all.push((said, date));
                }
            }
        }
        all
    }

    /// What announces the date at a place: the words right before it, in its sentence; after it where the script has them so.
    fn said(&self, text: &str, start: usize, end: usize) -> Option<Said> {
        let mut from = start.saturating_sub(NEAR);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        let before = text.get(from..start)?;
        let before = before.rsplit(['.', '!', '?', ';', '。']).next().unwrap_or(before);
        let after = text.get(end..)?;
        if self.back.is_match(before) || self.after_wide.is_match(after) {
            return Some(Said::Back);
        }
        let follows = after.chars().take(16).collect::<String>();
        let inclusive = self.inclusive.is_match(before) || self.inclusive.is_match(&follows);
        if (self.back.is_match(&follows) && !self.until.is_match(before)) && !inclusive {
            return Some(Said::Back);
        }
        (self.until.is_match(before) && !inclusive).then_some(Said::Until)
    }
}

/// Month and day of two numbers: with dots the day comes first; with slashes only where one of them can't be a month, or both are the same.
fn of_numbers(a: u32, b: u32, dotted: bool) -> Option<(u32, u32)> {
    match (a, b) {
        _ if dotted => Some((b, a)),
        (13.., _) => Some((b, a)),
        (_, 13..) => Some((a, b)),
        _ => (a == b).then_some((a, b)),
    }
}

/// The date, if there is such a day.
fn calendar_day(year: u32, month: u32, day: u32) -> Result<String, ()> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return Err(()),
    };
    if (1..=last).contains(&day) { Ok(format!("{year:04}-{month:02}-{day:02}")) } else { Err(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_return() {
        assert!(FORMS.is_some());
        let cases = [
            ("I will be back on January 5th, 2027.", Some("2027-01-05")),
            ("I am away until 24 December 2026. I return on 4 January 2027.", Some("2027-01-04")),
            ("out of the office until 01/05/2027", None),
            ("out of the office until 25/12/2026", Some("2026-12-25")),
            ("I am away from 1 December 2026", None),
            ("away until 24 December", None),
            ("Ich bin bis einschließlich 03.01.2027 im Urlaub", None),
            ("ab dem 04.01.2027 wieder erreichbar", Some("2027-01-04")),
            ("Je serai de retour le 1er février 2027", Some("2027-02-01")),
            ("back on 30 February 2027", None),
            ("I return on 2027-01-04 or on 2027-01-05", None),
            ("2027年1月7日より出社", Some("2027-01-07")),
            ("Our office at 12 May 2027 Street", None),
        ];
        for (text, want) in cases {
            assert_eq!(returns("", text).as_deref(), want, "{text}");
        }
        assert_eq!(returns("AUTO: away (returning 2027-01-05)", "until 01/05/2027").as_deref(), Some("2027-01-05"));
    }

    #[test]
    fn months_in_many_languages() {
        for (name, want) in
            [("januar", Some(1)), ("dez.", Some(12)), ("juil", Some(7)), ("jui", None), ("декабря", Some(12)), ("street", None)]
        {
            assert_eq!(month(name), want, "{name}");
        }
    }
}
