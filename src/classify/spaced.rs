//! The words of a text as white space and control characters part them. Linear.

/// Anything but white space, and where it stands.
#[derive(Clone, Copy)]
pub struct Word<'a> {
    pub at: usize,
    pub text: &'a str,
    /// Not all of its characters stand in the comparable form as they are, case aside.
    pub marked: bool,
}

/// The words of a text.
pub struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = Word<'a>;

    fn next(&mut self) -> Option<Word<'a>> {
        let at = self.run(true).0;
        let (end, marked) = self.run(false);
        self.text.get(at..end).filter(|word| !word.is_empty()).map(|text| Word { at, text, marked })
    }
}

impl<'a> Words<'a> {
    pub fn of(text: &'a str) -> Words<'a> {
        Words { text, at: 0 }
    }

    /// Goes on over white space, or over anything else; gives where that ends, and whether something in it is marked.
    fn run(&mut self, space: bool) -> (usize, bool) {
        let mut marked = false;
        while let Some(&octet) = self.text.as_bytes().get(self.at) {
            // Most is ASCII, for which nothing needs to be decoded.
            let (is, length) = match octet {
                0..=b' ' | 0x7f => (true, 1),
                0..0x80 => (false, 1),
                _ => self.text.get(self.at..).and_then(|rest| rest.chars().next()).map_or((false, 1), |c| (is_space(c), c.len_utf8())),
            };
            if is != space {
                break;
            }
            marked |= matches!(octet, b'@' | b'_' | b'`' | 0x80..);
            self.at += length;
        }
        (self.at, marked)
    }
}

/// White space, or a control character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || c.is_control()
}
