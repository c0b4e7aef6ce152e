//! When somebody who is away comes back: the date in an automatic reply, where it is sure.
//!
//! A date counts only beside words that announce it: that one is back then, or else away until then. Of several, those that say "back" win; of
//! "up to and including" a day the next one is meant.

use std::{ops::Range, sync::LazyLock};

use jiff::civil::Date;
use regex::Regex;

use super::{
    dates::dates,
    text::{self, Text},
};

/// So much of a reply is looked at, in octets.
const MAX_READ: usize = 4096;
/// So far before a date its announcement may stand, in octets.
const NEAR: usize = 64;

struct Forms {
    back: Regex,
    back_after: Regex,
    until: Regex,
    until_english: Regex,
    until_after: Regex,
    between: Regex,
    range: Regex,
    either: Regex,
    inclusive: Regex,
}

static FORMS: LazyLock<Option<Forms>> = LazyLock::new(|| Forms::compile().ok());

impl Forms {
    fn compile() -> Result<Forms, regex::Error> {
        Ok(Forms {
            back: Regex::new(concat!(
                r"(?:\b(?:back|return\w*|resum\w*|reopen\w*|again on|available from|reachable from|wieder|zuruck\w*|zurueck\w*|ruckkehr|retour|regres\w+|vuelv\w+|vuelta|",
                r"reincorpor\w+|reabr\w+|riapr\w+|rouvr\w+|rientr\w+|ritorn\w+|torn\w+|di nuovo|retorn\w+|volt\w+|terug|bereikbaar|wroc\w+|wrac\w+|powr\w+|zpet|spat|vrat\w+|vrac\w+|ater|tilbage|tilbake|tillbaka|takaisin|",
                r"palaan|tagasi|naasen|grisiu|griztu|atgriez\w+|aftur|vissza\w*|elerheto|revin|revenim|intorc|geri|kembali|donec\w+|nazaj|вернусь|вернётся|вернется|выхожу|выйду|",
                r"повернус\w|повертаюсь|повертаюся|върна|враћам|повратак|επιστρ\w+|\w?אחזור|חוזר\w*|العودة|\w?سأعود|tro lai|quay lai)\b|กลับ|復帰|戻|返回|回到|回来|上班)"
            ))?,
            back_after: Regex::new(
                r"^ ?(?:\([^)]{1,8}\) ?)?(?:(?:bin ich |sind wir |ben ik |zijn wij |zijn we |i am |i.ll be |je serai |saro |estare |estarei |er jeg |ar jag )?(?:weer|wieder|de retour|di nuovo|de vuelta|de volta|tilbake|tilbage|tillbaka|back)\b|より|から|に復帰|に出社|に戻|以降|后回|後回|回来|回到|返回|起?上班|起恢复|부터|에? ?복귀|tarihinde|tarihinden|-?[aeo]n\b|-?tol\b|回国|复工|恢复|恢復)",
            )?,
            until: Regex::new(
                r"(?:\b(?:until|till?|til|indtil|fram til|frem til|through|thru|bis|jusqu\S*|hasta|fino (?:al?|a tutto il)|fins|ate|ata|tot|do|asti|pana|kuni|lidz|iki|sampai|sehingga|hingga|den(?: het)? ngay|до|по|έως|μέχρι|עד|حتى|تا)\b|ถึง|至)",
            )?,
            until_english: Regex::new(r"\b(?:until|till?|through|thru|to|back|return\w*|resum\w*|again)\b")?,
            until_after: Regex::new(
                r"^ ?(?:\([^)]{1,8}\) ?)?(?:まで|迄|까지|为止|為止|asti|saakka|tarihine kadar|'?\S{0,4} kadar|-?ig\b)",
            )?,
            between: Regex::new(r"^ ?(?:to|and|until|through|thru|au|al|a|ao|bis|tot|t/m|do|til|till|по|до|-|to the|bis zum) ?$")?,
            either: Regex::new(r"^,? ?(?:or|oder|ou|of|lub|или|eller|tai|veya)\b")?,
            range: Regex::new(
                r"\b\d{1,2}\.?(?:st|nd|rd|th|er)? ?(?:-|to|until|through|au|bis|al|ao|tot|t/m|do|til|till|по)(?: the| den| le| il| el)? ?$",
            )?,
            inclusive: Regex::new(
                r"\b(?:incl\w*|through|thru|einschl\w*|inklusive|t/m|tot en met|till och med|til og med|t\.? ?o\.? ?m|wlacznie|vcetne|vratane|bezarolag|включительно|включно|inclus\w*|inclusiv\w*|compreso|fino a tutto)\b",
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

/// The day on which the writer returns, as an ISO 8601 date. `today`: the mail's own date.
pub fn returns(subject: &str, own: &str, today: Option<Date>) -> Option<String> {
    let forms = FORMS.as_ref()?;
    let words = Text::new(text::cut(own, MAX_READ));
    let subject = Text::new(text::cut(subject, MAX_READ));
    let mut all: Vec<(Said, Date)> = forms.announced(words.norm(), today);
    all.extend(forms.announced(subject.norm(), today));
    let best = all.iter().map(|(said, _)| *said).max()?;
    let mut days = all.into_iter().filter(|(said, _)| *said == best).map(|(_, day)| day);
    let first = days.next()?;
    days.all(|day| day == first).then(|| first.to_string())
}

impl Forms {
    fn announced(&self, text: &str, today: Option<Date>) -> Vec<(Said, Date)> {
        let foreign = |at: usize| {
            let before = sentence_before(text, at);
            (self.until.is_match(before) || self.back.is_match(before)) && !self.until_english.is_match(before)
        };
        let found = dates(text, today, foreign);
        let places: Vec<&Range<usize>> = found.iter().map(|(place, _)| place).collect();
        let mut all = Vec::new();
        for (index, (place, date)) in found.iter().enumerate() {
            let last = index.checked_sub(1).and_then(|before| places.get(before)).map(|place| place.end);
            let next = places.get(index + 1).map(|place| place.start);
            if let Some((said, inclusive)) = self.said(text, place, last, next) {
                let day = if inclusive { date.tomorrow().ok() } else { Some(*date) };
                all.extend(day.map(|day| (said, day)));
            }
        }
        all
    }

    /// What announces the date at a place, and whether the day itself is still one of absence: the words right before it, in its sentence and after
    /// the date before it; after it where the language has them so.
    fn said(&self, text: &str, place: &Range<usize>, last: Option<usize>, next: Option<usize>) -> Option<(Said, bool)> {
        let before = sentence_before(text, place.start);
        let since =
            last.and_then(|last| text.get(last..place.start)).filter(|since| since.len() < before.len() && !self.either.is_match(since));
        let span = since.is_some_and(|since| self.between.is_match(since)) || self.range.is_match(before);
        let before = since.unwrap_or(before);
        let after = text.get(place.end..)?;
        if self.back_after.is_match(after) {
            return Some((Said::Back, false));
        }
        let follows: String = after.chars().take(16).collect();
        let inclusive = self.inclusive.is_match(before) || self.inclusive.is_match(&follows);
        if self.until_after.is_match(after) {
            return Some((Said::Until, inclusive));
        }
        if self.back.is_match(before) {
            return Some((Said::Back, false));
        }
        let until = self.until.is_match(before) || span;
        let then = next.is_none_or(|next| next > place.end + 24);
        if then && self.back.is_match(&follows) && !until && !inclusive {
            return Some((Said::Back, false));
        }
        until.then_some((Said::Until, inclusive))
    }
}

/// The words before a place, in its sentence. The point of an abbreviation (`Mon.`, `bzw.`) ends none.
fn sentence_before(words: &str, at: usize) -> &str {
    let before = text::ending(words.get(..at).unwrap_or_default(), NEAR);
    let ends = |(place, mark): (usize, char)| {
        let word = before.get(..place).unwrap_or_default().rsplit([' ', '.']).next().unwrap_or_default();
        let abbreviated = mark == '.' && (word.chars().count() <= 3 || word.bytes().all(|b| b.is_ascii_digit()));
        (matches!(mark, '.' | '!' | '?' | ';' | '。' | '！') && !abbreviated).then_some(place + mark.len_utf8())
    };
    let start = before.char_indices().filter_map(ends).next_back().unwrap_or(0);
    before.get(start..).unwrap_or_default()
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
            ("Ich bin bis einschließlich 03.01.2027 im Urlaub", Some("2027-01-04")),
            ("ab dem 04.01.2027 wieder erreichbar", Some("2027-01-04")),
            ("Je serai de retour le 1er février 2027", Some("2027-02-01")),
            ("back on 30 February 2027", None),
            ("I return on 2027-01-04 or on 2027-01-05", None),
            ("2027年1月7日より出社", Some("2027-01-07")),
            ("Our office at 12 May 2027 Street", None),
        ];
        for (text, want) in cases {
            assert_eq!(returns("", text, None).as_deref(), want, "{text}");
        }
        assert_eq!(returns("AUTO: away (returning 2027-01-05)", "until 01/05/2027", None).as_deref(), Some("2027-01-05"));
    }

    #[test]
    fn dates_without_a_year_are_the_next_ones() {
        let today = Date::new(2026, 12, 24).ok();
        let cases = [
            ("away until 4 January", Some("2027-01-04")),
            ("until 1/4", Some("2027-01-04")),
            ("back on Dec. 28th", Some("2026-12-28")),
            ("bis zum 6.1. im Urlaub", Some("2027-01-06")),
            ("absent jusqu'au 05/01 inclus", Some("2027-01-06")),
            ("on leave from 21 December to 8 January", Some("2027-01-08")),
            ("out from 21 Dec 2026 through 8 Jan 2027", Some("2027-01-09")),
            ("starting 12/21/2026 and returning Monday, 1/4/2027", Some("2027-01-04")),
            ("1月4日まで休暇をいただきます", Some("2027-01-04")),
            ("4 Ocak tarihinde ofise döneceğim", Some("2027-01-04")),
            ("I wrote it on 3 January", None),
        ];
        for (text, want) in cases {
            assert_eq!(returns("", text, today).as_deref(), want, "{text}");
        }
    }
}
