//! The words of a text as white space and control characters part them. Linear.

/// Anything but white space, and where it stands; or a stretch of such words, see [`Words`].
#[derive(Clone, Copy)]
pub struct Word<'a> {
    pub at: usize,
    pub text: &'a str,
    /// Not all of its characters stand in the comparable form as they are, case aside.
    pub marked: bool,
}

/// The words of a text. Those that are not marked, don't begin with a digit or `<` and have a single space or line feed between them come
/// together, as one.
pub struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let at = self.run(true).0;
        let (mut end, marked) = self.run(false);
        if !marked && self.begins_plainly(at) {
            end = self.stretch(end);
        }
        self.text.get(at..end).filter(|word| !word.is_empty()).map(|text| Word { at, text, marked })
    }
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Words<'a> {
        Words { text, at: 0 }
    }

    /// A word that nobody needs to look at begins there.
    fn begins_plainly(&self, at: usize) -> bool {
        self.text.as_bytes().get(at).is_some_and(|first| is_plain(*first) && !matches!(first, b'0'..=b'9' | b'<'))
    }

    /// Goes on over plain words with a single white space before each; gives where the last ends.
    fn stretch(&mut self, mut end: usize) -> usize {
        let bytes = self.text.as_bytes();
        while matches!(bytes.get(end), Some(b' ' | b'\n')) && self.begins_plainly(end + 1) {
            let rest = bytes.get(end + 1..).unwrap_or_default();
            let next = end + 1 + rest.iter().position(|octet| !is_plain(*octet)).unwrap_or(rest.len());
            if bytes.get(next).is_some_and(|octet| !is_ascii_space(*octet)) {
                break;
            }
            end = next;
        }
        self.at = end;
        end
    }

    /// Goes on over white space, or over anything else; gives where that ends, and whether something in it is marked.
    fn run(&mut self, space: bool) -> (usize, bool) {
        let mut marked = false;
        while let Some(rest) = self.text.as_bytes().get(self.at..).filter(|rest| !rest.is_empty()) {
            // Most is ASCII, for which nothing needs to be decoded.
            let like = |octet: &u8| if space { is_ascii_space(*octet) } else { is_plain(*octet) };
            self.at += rest.iter().position(|octet| !like(octet)).unwrap_or(rest.len());
            let Some(octet) = self.text.as_bytes().get(self.at).copied() else { break };
            let next = || self.text.get(self.at..).and_then(|rest| rest.chars().next());
            let (is, length) = match octet {
                0..0x80 => (is_ascii_space(octet), 1),
                _ => next().map_or((false, 1), |c| (is_space(c), c.len_utf8())),
            };
            if is != space {
                break;
            }
            marked |= !space;
            self.at += length;
        }
        (self.at, marked)
    }
}

fn is_ascii_space(octet: u8) -> bool {
    octet <= b' ' || octet == 0x7f
}

/// A character of a word that stands in the comparable form as it is.
fn is_plain(octet: u8) -> bool {
    const PLAIN: [bool; 256] = {
        let mut plain = [false; 256];
        let mut octet = b'!';
        while octet <= b'~' {
            plain[octet as usize] = !matches!(octet, b'@' | b'_' | b'`');
            octet += 1;
        }
        plain
    };
    PLAIN.get(usize::from(octet)).copied().unwrap_or_default()
}

/// White space, or a control character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}
