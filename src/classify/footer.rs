//! The footer of a newsletter, left below somebody's answer without marks of quoting: its words are not theirs.

use std::ops::Range;

use super::text::Text;

/// So far around the words their line is looked at, in octets.
const LINE: usize = 300;
/// So many letters before a line of its own make it no request any more.
const SAID: usize = 40;

/// Words that lead to a link.
const LINKS: [&str; 27] = [
    "://",
    "www.",
    "click here",
    "click on",
    "click below",
    "click the",
    "click to",
    "klicken sie",
    "klick hier",
    "hier klicken",
    "cliquez",
    "haga clic",
    "pulse aquí",
    "clique aqui",
    "clicca qui",
    "klik hier",
    "kliknij",
    "klicka här",
    "нажмите",
    "перейдите",
    "クリック",
    "点击",
    "點擊",
    "请按",
    "請按",
    "按此",
    "こちら",
];

/// Whether the words at `range` of a text's comparable form stand in a footer: beside a link or what led to one, or as a line of their own below
/// something else. `earlier`: so many letters the writer's paragraphs before this one have.
pub fn holds(text: &Text<'_>, range: &Range<usize>, earlier: usize) -> bool {
    let before = text.before(range.start, LINE);
    // The cells of a row stand on one line.
    let head = before.rsplit(['\n', '\t']).next().unwrap_or_default();
    // The words may run over the end of a line.
    let (tail, behind) = (text.tail(range.start), text.tail(range.end));
    let found = tail.len().saturating_sub(behind.len());
    let end = found + behind.find(['\n', '\t']).unwrap_or(behind.len());
    let line = format!("{head}{}", super::text::cut(tail.get(..end).unwrap_or(tail), LINE)).to_lowercase();
    if LINKS.iter().any(|words| line.contains(words)) || line.contains(" | ") {
        return true;
    }
    let said = text.before(range.start, LINE).strip_suffix(head).unwrap_or_default();
    let words = text.evidence(range.clone());
    let alone = line.trim().chars().count() <= words.chars().count() + 3;
    alone && earlier + said.chars().filter(|c| c.is_alphanumeric()).count() > SAID
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn footers_are_told_from_requests() {
        let cases = [
            ("Danke, sehr schön!\nNewsletter abbestellen: https://example.com", true),
            ("Thank you so much, we enjoyed reading it very much indeed.\n\nNewsletter abbestellen", true),
            ("Impressum | Newsletter abbestellen | Kontakt", true),
            ("Hallo,\n\nNewsletter abbestellen", false),
            ("bitte den Newsletter abbestellen, danke", false),
        ];
        for (given, want) in cases {
            let text = Text::new(given);
            let at = text.norm().find("newsletter abbestellen").unwrap();
            assert_eq!(holds(&text, &(at..at + 22), 0), want, "{given}");
        }
    }
}
