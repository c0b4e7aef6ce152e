//! Dates in people's text, in the languages and orders that they write.
//!
//! A date without a year is the next such day from the mail's own date on; without that date it is none. Two numbers that could be read in two ways
//! are only taken where one reading is near and the other is not.

use std::{ops::Range, sync::LazyLock};

use jiff::civil::Date;
use regex::{Captures, Regex};

/// A reading within so many days of the mail is near, one beyond so many more is not.
const NEAR_DAYS: i32 = 60;
const FAR_DAYS: i32 = 90;
/// No date goes on for more octets before or after a digit of its own: a month's name in three octets a letter, and what stands between.
const WITHIN: usize = 64;
/// So many dates of one text are looked at.
const MAX_DATES: usize = 50;

/// The months' names as [`super::text::Text`] has them, in the languages that write them out.
const MONTHS: [&str; 12] = [
    "january januar janner janvier enero gennaio janeiro januari stycznia styczen ledna leden tammikuuta ocak ianuarie januara janvaris janvara sausio jaanuar janubar gener urtarrila xaneiro января январь січня януари ιανουαρίου ינואר يناير มกราคม",
    "february februar fevrier febrero febbraio fevereiro februari lutego luty unora unor februara helmikuuta subat februarie vasario veebruar februaris febrer otsaila febreiro февраля февраль лютого февруари φεβρουαρίου פברואר فبراير กุมภาพันธ์",
    "march marz maerz mars marzo marco maart marca marzec brezna brezen maaliskuuta mart martie kovo marts martxo марта березня март marcius μαρτίου מרץ مارس มีนาคม",
    "april avril abril aprile kwietnia kwiecien dubna duben huhtikuuta nisan aprilie balandzio aprilis apirila апреля апрель квітня април απριλίου אפריל أبريل เมษายน",
    "may mai mayo maggio maio mei maja maj kvetna kveten toukokuuta mayis geguzes maijs maig maiatza мая май травня majus μαΐου מאי مايو พฤษภาคม",
    "june juni juin junio giugno junho czerwca czerwiec cervna cerven kesakuuta haziran iunie birzelio juuni junijs juny ekaina июня июнь червня юни junius ιουνίου יוני يونيو มิถุนายน",
    "july juli juillet julio luglio julho lipca lipiec cervence cervenec heinakuuta temmuz iulie liepos juuli julijs juliol uztaila июля июль липня юли julius ιουλίου יולי يوليو กรกฎาคม",
    "august aout agosto augustus augusti sierpnia sierpien srpna srpen elokuuta agustos augusts abuztua rugpjucio августа август серпня augusztus αυγούστου אוגוסט أغسطس สิงหาคม",
    "september septembre septiembre settembre setembro wrzesnia wrzesien zari syyskuuta eylul septembrie rugsejo septembris irailaren сентября сентябрь вересня септември szeptember σεπτεμβρίου ספטמבר سبتمبر กันยายน",
    "october oktober octobre octubre ottobre outubro pazdziernika pazdziernik rijna rijen lokakuuta ekim octombrie spalio oktobris oktoober urria октября октябрь жовтня октомври οκτωβρίου אוקטובר أكتوبر ตุลาคม",
    "november novembre noviembre novembro listopada listopad listopadu marraskuuta kasim noiembrie lapkricio novembris azaroa ноября ноябрь листопада ноември νοεμβρίου נובמבר نوفمبر พฤศจิกายน",
    "december dezember decembre diciembre dicembre dezembro desember desembre grudnia grudzien prosince prosinec joulukuuta aralik decembrie gruodzio detsember decembris abendua декабря декабрь грудня декември δεκεμβρίου דצמבר ديسمبر ธันวาคม",
];

/// "Listopad" is November in Polish and October in Croatian; a name in two rows of the table is no month.
pub fn month(name: &str) -> Option<i8> {
    let name = name.trim_end_matches('.');
    let known = |row: &&str| row.split(' ').any(|known| known == name || name.chars().count() >= 3 && known.starts_with(name));
    let mut rows = (1..).zip(&MONTHS).filter(|(_, row)| known(row));
    let first = rows.next().map(|(number, _)| number);
    first.filter(|_| rows.next().is_none())
}

struct Forms(Vec<Regex>);

/// With a year first, then without: of two that overlap the first stands.
const FORMS: [&str; 11] = [
    r"\b(?<y>20\d\d)[-/.] ?(?<m>\d\d?)[-/.] ?(?<d>\d\d?)\b",
    r"\b(?<a>\d{1,2})(?<mark>[./-]) ?(?<b>\d{1,2})[./-] ?(?<y>20\d\d|25[67]\d|[23]\d)\b",
    r"\b(?<d>\d{1,2})(?:st|nd|rd|th|er|º|\.|-го|-e)?[ -](?:de |of |d'|den )?(?<name>[\p{L}\p{M}]{3,14}\.?),?(?: de| del)?[ -](?<y>20\d\d|25[67]\d)\b",
    r"\b(?<name>[\p{L}\p{M}]{3,14}\.?) (?<d>\d{1,2})(?:st|nd|rd|th|\.)?,? (?<y>20\d\d)\b",
    r"\b(?<y>20\d\d)\.? (?:m\. |gada )?(?<name>\p{L}{3,14}) (?<d>\d{1,2})",
    r"(?<y>20\d\d) ?[年년] ?(?<m>\d{1,2}) ?[月월] ?(?<d>\d{1,2}) ?[日号號일]",
    r"(?:^|[^\d年년 ]|[^\d年년] )(?<m>\d{1,2}) ?[月월] ?(?<d>\d{1,2}) ?[日号號일]",
    r"\b(?<d>\d{1,2})(?:st|nd|rd|th|er|º|\.|-го)? (?:de |of |d'|den |day of )?(?<name>[\p{L}\p{M}]{3,14})\b",
    r"\b(?<name>\p{L}{3,14}\.?) (?<d>\d{1,2})(?:st|nd|rd|th)?\b",
    r"\b(?<a>\d{1,2})(?<mark>\.) ?(?<b>\d{1,2})\.(?:[^\d]|$)",
    r"\b(?<a>\d{1,2})(?<mark>/)(?<b>\d{1,2})\b",
];

static COMPILED: LazyLock<Forms> = LazyLock::new(|| Forms(FORMS.iter().filter_map(|form| Regex::new(form).ok()).collect()));

/// The dates of a text in its comparable form, in their order, each with its place. `foreign`: whether the words before a place are of a language
/// that names the day first.
pub fn dates(text: &str, today: Option<Date>, foreign: impl Fn(usize) -> bool) -> Vec<(Range<usize>, Date)> {
    let mut found: Vec<(Range<usize>, Option<Date>)> = Vec::new();
    let near = near_digits(text);
    for form in &COMPILED.0 {
        let pieces = near.iter().filter_map(|near| Some((near.start, text.get(near.clone())?)));
        for (from, captures) in pieces.flat_map(|(from, piece)| form.captures_iter(piece).map(move |one| (from, one))).take(MAX_DATES) {
            let Some(first) = ["a", "d", "m", "y", "name"].iter().filter_map(|name| captures.name(name)).map(|part| part.start()).min()
            else {
                continue;
            };
            let Some(place) = captures.get(0).map(|whole| from + first..from + whole.end()) else { continue };
            if captures.name("name").is_some_and(|name| month(name.as_str()).is_none()) || text.get(place.clone()) == Some("24/7") {
                continue;
            }
            if !found.iter().any(|(other, _)| other.start < place.end && place.start < other.end) {
                let day_first = foreign(place.start);
                found.push((place, read(&captures, today, day_first)));
            }
        }
    }
    found.sort_by_key(|(place, _)| place.start);
    found.into_iter().filter_map(|(place, date)| Some((place, date?))).collect()
}

/// Where dates may stand: each has digits. From one space to another, so that no word is cut. Linear.
fn near_digits(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let space_after = |at: usize| bytes.get(at..).and_then(|rest| memchr::memchr(b' ', rest)).map_or(bytes.len(), |space| at + space);
    let mut near: Vec<Range<usize>> = Vec::new();
    for (at, _) in bytes.iter().enumerate().filter(|(_, octet)| octet.is_ascii_digit()) {
        let done = near.last().map_or(0, |last| last.end);
        match near.last_mut().filter(|last| at < last.end + WITHIN) {
            Some(_) if at + WITHIN < done => {}
            Some(last) => last.end = space_after(at + WITHIN),
            None => {
                let before = bytes.get(done..at.saturating_sub(WITHIN)).and_then(|rest| memchr::memrchr(b' ', rest));
                near.push(before.map_or(done, |space| done + space)..space_after(at + WITHIN));
            }
        }
    }
    near
}

fn read(found: &Captures<'_>, today: Option<Date>, day_first: bool) -> Option<Date> {
    let number = |name: &str| found.name(name).and_then(|digits| digits.as_str().parse::<i16>().ok());
    let small = |name: &str| number(name).and_then(|number| i8::try_from(number).ok());
    let year = number("y").map(|year| match year {
        2500.. => year - 543,
        2000.. => year,
        _ => year + 2000,
    });
    if let (Some(a), Some(b)) = (small("a"), small("b")) {
        let dotted = found.name("mark").is_some_and(|mark| mark.as_str() != "/");
        let (first, second) = (on(year, b, a, today), on(year, a, b, today));
        return match (first, second) {
            _ if dotted || day_first => first,
            (Some(one), Some(other)) if one != other => nearer(one, other, today?),
            (one, other) => one.or(other),
        };
    }
    let month = found.name("name").map_or_else(|| small("m"), |name| month(name.as_str()))?;
    on(year, month, small("d")?, today)
}

/// The day; of no year the next one.
fn on(year: Option<i16>, month: i8, day: i8, today: Option<Date>) -> Option<Date> {
    if let Some(year) = year {
        return Date::new(year, month, day).ok();
    }
    let today = today?;
    let this = Date::new(today.year(), month, day).ok().filter(|date| *date >= today);
    this.or_else(|| Date::new(today.year().checked_add(1)?, month, day).ok())
}

/// The reading that is near, where the other is not.
fn nearer(one: Date, other: Date, today: Date) -> Option<Date> {
    let days = |date: Date| date.since((jiff::Unit::Day, today)).map_or(i32::MAX, |span| span.get_days());
    let is = |date: Date, most: i32| (0..=most).contains(&days(date));
    match (is(one, NEAR_DAYS), is(other, NEAR_DAYS)) {
        (true, false) if !is(other, FAR_DAYS) => Some(one),
        (false, true) if !is(one, FAR_DAYS) => Some(other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_digits_is_looked_at() {
        let far = "word ".repeat(40);
        let text = format!("{far}until 3 march 2026 {far}back on the 4th of april{far}");
        let near = near_digits(&text);
        let pieces: Vec<&str> = near.iter().map(|piece| &text[piece.clone()]).collect();
        assert_eq!(pieces.len(), 2);
        assert!(
            pieces[0].contains("until 3 march 2026")
                && pieces[1].contains("the 4th of april")
                && pieces.iter().all(|piece| piece.len() < 180)
        );
        assert!(near_digits(&far).is_empty());
        assert_eq!(near_digits(&"1".repeat(1000)).first(), Some(&(0..1000)));
        assert_eq!(near_digits("é1é").first(), Some(&(0..5)));
        assert_eq!(dates(&text, None, |_| false).len(), 1);
    }

    #[test]
    fn months_in_many_languages() {
        for (name, want) in
            [("januar", Some(1)), ("dez.", Some(12)), ("juil", Some(7)), ("jui", None), ("декабря", Some(12)), ("street", None)]
        {
            assert_eq!(month(name), want, "{name}");
        }
        assert_eq!(COMPILED.0.len(), FORMS.len());
    }

    #[test]
    fn dates_as_people_write_them() {
        let today = Date::new(2026, 11, 9).ok();
        let cases = [
            ("on 2026-11-23", "2026-11-23"),
            ("on 2026/11/23.", "2026-11-23"),
            ("am 23.11.2026", "2026-11-23"),
            ("am 23. 11. 2026", "2026-11-23"),
            ("am 23.11.26", "2026-11-23"),
            ("am 6.1. wieder", "2027-01-06"),
            ("09-nov-2026", "2026-11-09"),
            ("23rd of november", "2026-11-23"),
            ("november 23rd, 2027", "2027-11-23"),
            ("mon, nov 30", "2026-11-30"),
            ("2026. november 23-an", "2026-11-23"),
            ("20 de noviembre de 2026", "2026-11-20"),
            ("11月16日まで", "2026-11-16"),
            ("2027年1月7日", "2027-01-07"),
            ("23 พฤศจิกายน 2569", "2026-11-23"),
            ("11/23", "2026-11-23"),
            ("1/10", ""),
            ("1/5/2027", "2027-01-05"),
            ("open 24/7", ""),
            ("30 february", ""),
            ("version 5.1 of 12 things", ""),
        ];
        for (text, want) in cases {
            let got: Vec<String> = dates(text, today, |_| false).into_iter().map(|(_, date)| date.to_string()).collect();
            assert_eq!(got.join(" "), want, "{text}");
        }
        assert!(dates("on 23 november", None, |_| false).is_empty());
    }
}
