//! The words of a text, each looked up once among all that the tables know.
//!
//! A text is a row of tokens: runs of ASCII letters and digits, and each other character by itself. Whoever looks for words in it goes over
//! numbers. Linear.

use hashbrown::HashMap;

/// Few words are longer.
const SHORT: usize = 16;
/// A piece of text.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    pub at: u32,
    pub end: u32,
    /// Its first two octets where it is a word of so many, else nothing.
    head: u16,
    /// What leads to it, see [`Token::step`].
    step: u32,
}

impl Token {
    /// The number of the word, none where the tables don't know it.
    pub fn word(self) -> Option<usize> {
        (self.step >> 1).checked_sub(1).map(|word| word as usize)
    }

    /// The word, and whether a single space stands before it; nothing where the tables don't know it.
    pub fn step(self) -> u32 {
        if self.step < 2 { 0 } else { self.step }
    }

    /// A single space stands before it.
    pub fn spaced(self) -> bool {
        self.step & 1 == 1
    }
}

/// All words that the tables know.
#[derive(Default)]
pub struct Vocabulary {
    /// Short words by their octets: side by side in the table, not each somewhere else.
    short: HashMap<u128, u32>,
    long: HashMap<String, u32>,
    /// One more than the number of a word of a single octet, by that.
    single: Vec<u32>,
    list: Vec<String>,
}

impl Vocabulary {
    /// The number of a word, which is known from now on.
    pub fn add(&mut self, word: &str) -> usize {
        let next = count(self.list.len());
        let number = match key(word.as_bytes(), 0, word.len()) {
            Some(key) => *self.short.entry(key).or_insert(next),
            None => *self.long.entry_ref(word).or_insert(next),
        };
        if number == next {
            self.list.push(word.to_owned());
            if let [octet] = word.as_bytes() {
                self.single.resize(256, 0);
                self.single.get_mut(usize::from(*octet)).into_iter().for_each(|known| *known = number + 1);
            }
        }
        number as usize
    }

    /// All words by their numbers.
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// The tokens of a text.
    pub fn row(&self, text: &str) -> Vec<Token> {
        let mut row = Vec::with_capacity(text.len() / 4 + 1);
        for (at, end, spaced) in pieces(text) {
            row.push(self.token(text, at, end, spaced));
        }
        row
    }

    fn token(&self, text: &str, at: usize, end: usize, spaced: bool) -> Token {
        let bytes = text.as_bytes();
        let (word, head) = match bytes.get(at..end).unwrap_or_default() {
            // Punctuation.
            [one] => (self.single.get(usize::from(*one)).copied().unwrap_or_default(), 0),
            word => (self.number(bytes, at, end, text), head(word)),
        };
        Token { at: count(at), end: count(end), head, step: word << 1 | u32::from(spaced) }
    }

    /// One more than the word's number, 0 where it isn't known.
    fn number(&self, bytes: &[u8], at: usize, end: usize, text: &str) -> u32 {
        let word = match key(bytes, at, end) {
            Some(key) => self.short.get(&key),
            None => text.get(at..end).and_then(|word| self.long.get(word)),
        };
        word.map_or(0, |word| word + 1)
    }

    /// The tokens of a phrase, whose words are known from now on.
    pub fn learn(&mut self, phrase: &str) -> Vec<Token> {
        for (at, end, _) in pieces(phrase) {
            self.add(phrase.get(at..end).unwrap_or_default());
        }
        self.row(phrase)
    }
}

/// Where the tokens of a text stand, and whether a single space stands before each.
fn pieces(text: &str) -> impl Iterator<Item = (usize, usize, bool)> {
    let bytes = text.as_bytes();
    let mut next = 0;
    std::iter::from_fn(move || {
        let spaced = bytes.get(next) == Some(&b' ') && bytes.get(next + 1).is_some_and(|after| *after != b' ');
        let at = next + usize::from(spaced);
        let first = *bytes.get(at)?;
        let own = bytes.get(at..)?;
        let length = if first.is_ascii_alphanumeric() {
            own.iter().position(|octet| !in_word(*octet)).unwrap_or(own.len())
        } else {
            // What begins a character tells how long it is.
            (first.leading_ones() as usize).clamp(1, 4)
        };
        next = at + length;
        Some((at, next, spaced))
    })
}

fn in_word(octet: u8) -> bool {
    const IN_WORD: [bool; 256] = {
        let mut word = [false; 256];
        let mut octet = 0_u8;
        while octet < 0x80 {
            word[octet as usize] = octet.is_ascii_alphanumeric();
            octet += 1;
        }
        word
    };
    IN_WORD.get(usize::from(octet)).copied().unwrap_or_default()
}

/// The octets of a short word.
fn key(bytes: &[u8], at: usize, end: usize) -> Option<u128> {
    /// Which of sixteen octets are a word's, by its length.
    const OWN: [u128; SHORT + 1] = {
        let mut own = [0; SHORT + 1];
        let mut length = 1;
        while length <= SHORT {
            own[length] = own[length - 1] << 8 | 0xff;
            length += 1;
        }
        own
    };
    let own = OWN.get(end - at)?;
    // One load, save at the end of the text.
    if let Some(Ok(octets)) = bytes.get(at..at + SHORT).map(<[u8; SHORT]>::try_from) {
        return Some(u128::from_le_bytes(octets) & own);
    }
    let mut octets = [0; SHORT];
    octets.get_mut(..end - at)?.copy_from_slice(bytes.get(at..end)?);
    Some(u128::from_le_bytes(octets))
}

fn head(word: &[u8]) -> u16 {
    match word {
        [a, b, ..] if a.is_ascii_alphanumeric() => u16::from_le_bytes([*a, *b]),
        _ => 0,
    }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// What is told of words by how they begin.
pub struct Heads<T> {
    by_head: HashMap<u16, Vec<(String, T)>>,
    /// A bit for each head that there is: most words have none.
    seen: Vec<u64>,
}

impl<T> Default for Heads<T> {
    fn default() -> Self {
        Heads { by_head: HashMap::default(), seen: vec![0; (usize::from(u16::MAX) + 1) / 64] }
    }
}

impl<T> Heads<T> {
    /// `None` where the beginning is no word or of one letter.
    pub fn add(&mut self, begins: &str, what: T) -> Option<()> {
        let head = Some(head(begins.as_bytes())).filter(|head| *head != 0)?;
        self.by_head.entry(head).or_default().push((begins.to_owned(), what));
        self.seen.get_mut(usize::from(head / 64)).map(|bits| *bits |= 1 << (head % 64))
    }

    /// All that is told of words that begin as this token of `text` does, each with the beginning.
    pub fn of(&self, token: Token, text: &str) -> impl Iterator<Item = &(String, T)> {
        let head = token.head;
        let seen = head != 0 && self.seen.get(usize::from(head / 64)).is_some_and(|bits| bits & 1 << (head % 64) != 0);
        let known = if seen { self.by_head.get(&head) } else { None };
        known.into_iter().flatten().filter(move |(begins, _)| {
            let word = text.get(token.at as usize..token.end as usize);
            word.is_some_and(|word| word.starts_with(begins.as_str()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_words_and_single_characters() {
        let mut words = Vocabulary::default();
        let unknown = words.learn("user unknown").first().and_then(|token| token.word());
        assert_eq!(unknown, Some(0));
        let text = "user  is(unknown) 不verylongexceptionname unknown";
        let told: Vec<_> =
            words.row(text).into_iter().map(|token| (&text[token.at as usize..token.end as usize], token.spaced(), token.word())).collect();
        let want = [
            ("user", false, Some(0)),
            (" ", false, None),
            ("is", true, None),
            ("(", false, None),
            ("unknown", false, Some(1)),
            (")", false, None),
            ("不", true, None),
            ("verylongexceptionname", false, None),
            ("unknown", true, Some(1)),
        ];
        assert_eq!(told, want);
        assert!(words.row("").is_empty());
    }

    #[test]
    fn words_by_their_beginnings() {
        let mut heads = Heads::default();
        assert!(heads.add("deliver", 1).is_some() && heads.add("del", 2).is_some() && heads.add("d", 3).is_none());
        let words = Vocabulary::default();
        for (text, want) in [("delivered", &[1, 2][..]), ("delete", &[2]), ("de", &[]), ("(((", &[])] {
            let found: Vec<_> = words.row(text).into_iter().flat_map(|token| heads.of(token, text)).map(|(_, what)| *what).collect();
            assert_eq!(found, want, "{text}");
        }
    }
}
