//! Letters looked for within a text, of which mostly none are there: which pairs of letters a text has is taken down once, and tells that of most.

use memchr::memmem::Finder;

/// As many pairs of letters are told apart, in words of 64 bits.
const WORDS: usize = 32;
/// So many pairs of what is looked for are asked for.
const ASKED: usize = 4;

/// Which pairs of octets stand in a text; a pair that doesn't may seem to.
pub struct Pairs([u64; WORDS]);

/// What is looked for.
pub struct Letters {
    finder: Finder<'static>,
    pairs: [u16; ASKED],
}

impl Pairs {
    pub fn of(text: &str) -> Pairs {
        let mut pairs = [0; WORDS];
        for pair in text.as_bytes().windows(2) {
            let (word, bit) = place(number(pair));
            if let Some(word) = pairs.get_mut(word) {
                *word |= bit;
            }
        }
        Pairs(pairs)
    }

    fn has(&self, pair: u16) -> bool {
        let (word, bit) = place(pair);
        self.0.get(word).is_some_and(|word| word & bit != 0)
    }
}

/// Letters and figures keep their lowest bits.
fn number(pair: &[u8]) -> u16 {
    let octet = |at: usize| u16::from(pair.get(at).copied().unwrap_or_default());
    (octet(0) << 5 ^ octet(1)) % (64 * WORDS as u16)
}

fn place(pair: u16) -> (usize, u64) {
    (usize::from(pair / 64), 1 << (pair % 64))
}

impl Letters {
    /// Of one letter it can't be told beforehand.
    pub fn new(letters: &str) -> Letters {
        let numbers: Vec<u16> = letters.as_bytes().windows(2).map(number).collect();
        // Spread over all of them.
        let pairs = std::array::from_fn(|asked| numbers.get(asked * numbers.len() / ASKED).copied().unwrap_or(u16::MAX));
        Letters { finder: Finder::new(letters).into_owned(), pairs }
    }

    /// Whether they stand in `text`, a piece of one that has these pairs.
    pub fn stand_in(&self, text: &str, pairs: &Pairs) -> bool {
        self.pairs.iter().all(|pair| *pair == u16::MAX || pairs.has(*pair)) && self.finder.find(text.as_bytes()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn they_are_found_wherever_they_stand(before in ".{0,40}", letters in "[a-zа-я ]{1,12}", after in ".{0,40}") {
            let text = format!("{before}{letters}{after}");
            prop_assert!(Letters::new(&letters).stand_in(&text, &Pairs::of(&text)));
            prop_assert!(!Letters::new(&letters).stand_in("", &Pairs::of(&text)));
        }
    }

    #[test]
    fn most_texts_without_them_are_told_by_their_pairs() {
        let text = "the mail server rejected the message of the sender because it was on a list of senders that are never taken";
        let pairs = Pairs::of(text);
        let letters = ["mailbox", "quota", "unknown", "exist", "full", "space", "disabled", "account", "lookup", "greylist"];
        let looked = letters.map(|letters| Letters::new(letters).pairs.iter().all(|pair| pairs.has(*pair)));
        assert_eq!(looked, [false; 10]);
        assert!(Letters::new("list of").stand_in(text, &pairs));
    }
}
