//! Words of a request that speak to their reader: "if you wish to be removed", "to be taken off, simply reply". They stand in advertising and in
//! notices of list managers; who asks speaks of themselves.

use std::{ops::Range, sync::LazyLock};

use regex::Regex;

use super::text::{Text, cut, ending};

/// So much before and behind the words is looked at, in octets of the comparable form.
const NEAR: usize = 160;

/// What makes a request a condition, or somebody else's.
static CONDITION: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:if|should|when|unless|whether|in case|where) you\b|\bif this (?:message|e-?mail|mail|letter)\b|\bthose (?:\w+ )?who\b|\banyone who\b|",
        r"\b(?:wenn|falls|sofern|sobald|ob) (?:sie|du|ihr)\b|\bsoll(?:ten|test|tet) (?:sie|du|ihr)\b|",
        r"\bsi (?:vous|tu|usted|no|ya|desea|deseas|quiere|quieres)\b|\bse (?:non|desidera|desideri|vuoi|voce|nao|deseja|quiser|pretende)\b|",
        r"\b(?:als|indien|wanneer) (?:u|je|jij)\b|\bwilt u\b|\b(?:jesli|jezeli|gdyby)\b|\b(?:pokud|jestlize|ak si|ak ne\w*)\b|",
        r"\b(?:om|ifall) (?:du|ni)\b|\bhvis (?:du|de|dere|i)\b|\bjos (?:et|haluat|ette)\b|\bha (?:nem|on|le)\b|\bdaca (?:nu|doriti|vreti)\b|",
        r"\b(?:если|якщо|ако|чтобы|щоб)\b|如果|若|如不|如您|如需|如有|もし|ご希望|시려면|원하시면"
    ))
    .ok()
});

/// Who speaks of themselves.
static SELF: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:i|me|my|we|ich|mich|mir|mein\w*|wir|je|moi|mon|mes|nous|yo|mi|mis|io|mio|mia|eu|meu|minha|ik|mij|mijn|",
        r"wij|mnie|moj\w*|mne|muj|jag|mig|min|jeg|meg|я|меня|мой|мы|нас|мене|мій)\b|我|私|나를|저를"
    ))
    .ok()
});

/// What a reader is told to do.
static DO: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:reply|respond|click|send|hit|visit|press|write|contact|follow|enter|type|fill|go|mail|e-?mail|mailto|call|",
        r"klicken|schicken|senden|antworten|cliquez|envoyez|ecrivez|haga|envie|escriba|responda|clicchi|clicca|invia|scrivi|clique|klik|stuur|kliknij|wyslij)\b"
    ))
    .ok()
});

/// Whether the words at `range` of a text's comparable form are said to the reader.
pub fn holds(text: &Text<'_>, range: &Range<usize>) -> bool {
    let words = text.norm().get(range.clone()).unwrap_or_default();
    let before = sentence_before(text.norm(), range.start);
    let themselves = |said: &str| SELF.as_ref().is_some_and(|form| form.is_match(said));
    let condition = CONDITION.as_ref().and_then(|form| form.find_iter(before).last());
    if let Some(condition) = condition {
        return !themselves(words) && !themselves(before.get(condition.end()..).unwrap_or_default());
    }
    let aim = words.starts_with("to ") && before.trim().is_empty() || matches!(before.trim(), "to" | "to be" | "to be taken" | "to get");
    let after = cut(text.norm().get(range.end..).unwrap_or_default(), NEAR);
    let after = after.split(['.', '!', '?']).next().unwrap_or_default();
    aim && DO.as_ref().is_some_and(|form| form.is_match(after))
}

/// The beginning of the sentence that goes on at a place.
fn sentence_before(norm: &str, at: usize) -> &str {
    ending(norm.get(..at).unwrap_or_default(), NEAR).rsplit(['.', '!', '?', ':', '。', '！', '？']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_spoken_to() {
        assert!(CONDITION.is_some() && SELF.is_some() && DO.is_some());
        let cases = [
            ("If you or your company wish to be removed, reply", "wish to be removed", true),
            ("We never write to those who do not wish to receive it", "do not wish to receive", true),
            ("Not for you? To be taken off, simply hit reply", "to be taken off", true),
            ("Solltest Du an unserem Newsletter kein Interesse mehr haben", "kein interesse mehr", true),
            ("如有打擾請見諒，不想再收到此信請按", "不想再收到", true),
            ("If you can, please remove me from the list", "remove me from", false),
            ("I don't know if you got my mail, but I wish to be removed", "wish to be removed", false),
            ("I wish to be removed", "wish to be removed", false),
            ("To be taken off please", "to be taken off", false),
        ];
        for (given, words, want) in cases {
            let text = Text::new(given);
            let at = text.norm().find(words).unwrap();
            assert_eq!(holds(&text, &(at..at + words.len())), want, "{given}");
        }
    }
}
