//! Bytes → command lines and mail content. Pure; gives the same frames however the bytes are split into reads.
//!
//! Promises: only CRLF ends a command and only CRLF.CRLF ends DATA (RFC 5321, sections 2.3.8 and 4.1.1.4), so what another server takes for one
//! mail is never two here. A bare CR or LF in a command ends the dialogue: after it nothing that follows can be told apart from content. In
//! content they are content. Memory is bounded: a command by [`MAX_COMMAND`], content by the limit and by what was granted; what passes
//! the limit is read to its end and not kept.

use memchr::{memchr2, memmem};

/// Octets of a command line with its CRLF. RFC 5321, section 4.5.3.1.4 asks for 512 and more for the extensions; ORCPT alone brings 500.
pub const MAX_COMMAND: usize = 2048;

/// Octets first granted to a mail: most bounces are smaller.
pub const FIRST_GRANT: usize = 64 * 1024;

/// Octets for which a mail is first given room, of those granted.
const FIRST_ROOM: usize = 8 * 1024;

/// A mail of more octets gets addresses for so many at once, or for as many as it may come to: beyond 32 MiB the C library asks the system for
/// them, and gives them back when the mail is done. What a thousand mails that are put off leave behind is never the heap's for good.
const LARGE: usize = 16 * 1024;
const ADDRESSES: usize = 33 * 1024 * 1024;

/// What came in whole.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    /// A command without its CRLF.
    Line(Vec<u8>),
    /// A command of more than [`MAX_COMMAND`] octets, skipped to its CRLF.
    LongLine,
    /// A CR or LF that isn't part of a CRLF, in a command. Nothing after it is read.
    BareLineEnd,
    /// So many more octets must be granted ([`Framer::grant`]) before reading goes on.
    Room(usize),
    /// The end of DATA; the content waits in [`Framer::take_content`].
    ContentEnd,
    /// The end of a BDAT chunk.
    ChunkEnd,
}

/// Why content isn't there though it was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    TooBig,
    NoMemory,
}

#[derive(Debug)]
pub struct Framer {
    mode: Mode,
    content: Content,
}

#[derive(Debug)]
enum Mode {
    Command(Line),
    Data(Place),
    Chunk { left: u64 },
    Dead,
}

#[derive(Debug, Default)]
struct Line {
    bytes: Vec<u8>,
    long: bool,
    /// The last octet was a CR.
    cr: bool,
}

/// Where in DATA we stand, for the dots.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// At the very start or after CRLF.
    LineStart,
    Text,
    /// After a CR.
    Cr,
    /// After a dot at the start of a line; the dot is held back.
    Dot,
    /// After such a dot and a CR; both are held back.
    DotCr,
}

impl Default for Framer {
    fn default() -> Self {
        Self { mode: Mode::Command(Line::default()), content: Content::new(0) }
    }
}

impl Framer {
    /// Takes bytes from the front of `input`, up to the end of one frame. `None`: all of it is used and more is needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Frame> {
        match &mut self.mode {
            Mode::Command(line) => match line.read(input)? {
                Frame::BareLineEnd => {
                    self.mode = Mode::Dead;
                    Some(Frame::BareLineEnd)
                }
                frame => Some(frame),
            },
            Mode::Data(place) => {
                let frame = place.read(input, &mut self.content)?;
                if frame == Frame::ContentEnd {
                    self.mode = Mode::Command(Line::default());
                }
                Some(frame)
            }
            Mode::Chunk { left } => {
                let frame = chunk(left, input, &mut self.content)?;
                if frame == Frame::ChunkEnd {
                    self.mode = Mode::Command(Line::default());
                }
                Some(frame)
            }
            Mode::Dead => {
                *input = &[];
                None
            }
        }
    }

    /// What comes next is the content of a mail of at most `limit` octets, for which `granted` octets of memory are there.
    pub fn expect_data(&mut self, limit: usize, granted: usize) {
        self.content = Content::new(limit);
        self.content.grant(granted);
        self.mode = Mode::Data(Place::LineStart);
    }

    /// What comes next is a chunk of the mail (RFC 3030); all its chunks together have at most `limit` octets.
    pub fn expect_chunk(&mut self, octets: u64, limit: usize) {
        self.content.limit = limit;
        if octets > (limit as u64).saturating_sub(self.content.bytes.len() as u64) {
            self.content.spoil(Spoilt::TooBig);
        }
        self.mode = Mode::Chunk { left: octets };
    }

    /// What comes next is a chunk that nobody wants. It must be read all the same (RFC 3030, section 2).
    pub fn discard_chunk(&mut self, octets: u64) {
        self.drop_content();
        self.mode = Mode::Chunk { left: octets };
        self.content.spoilt = Some(Spoilt::NoMemory);
    }

    /// The answer to [`Frame::Room`]. Without memory the mail is read to its end and not kept.
    pub fn grant(&mut self, octets: Option<usize>) {
        match octets {
            Some(octets) => self.content.grant(octets),
            None => self.content.spoil(Spoilt::NoMemory),
        }
    }

    /// Octets that [`Frame::Room`] asks for.
    pub fn wanted(&self) -> usize {
        self.content.wanted()
    }

    pub fn take_content(&mut self) -> Result<Vec<u8>, Spoilt> {
        let mut content = std::mem::replace(&mut self.content, Content::new(0));
        // Who keeps the mail shall not keep what was granted beyond it.
        content.bytes.shrink_to_fit();
        content.spoilt.map_or(Ok(content.bytes), Err)
    }

    pub fn drop_content(&mut self) {
        self.content = Content::new(0);
    }

    /// Why the content so far is lost, if it is.
    pub fn spoilt(&self) -> Option<Spoilt> {
        self.content.spoilt
    }

    /// Octets granted to the content that is being read.
    pub fn granted(&self) -> usize {
        self.content.granted
    }

    /// Reading content rather than commands.
    pub fn in_content(&self) -> bool {
        matches!(self.mode, Mode::Data(_) | Mode::Chunk { .. })
    }
}

impl Line {
    fn read(&mut self, input: &mut &[u8]) -> Option<Frame> {
        loop {
            if self.cr {
                let (&first, rest) = input.split_first()?;
                *input = rest;
                return Some(if first == b'\n' { self.finish() } else { Frame::BareLineEnd });
            }
            let text = memchr2(b'\r', b'\n', input).unwrap_or(input.len());
            let (text, rest) = input.split_at(text);
            self.push(text);
            let (&end, rest) = rest.split_first().or_else(|| {
                *input = &[];
                None
            })?;
            *input = rest;
            if end == b'\n' {
                return Some(Frame::BareLineEnd);
            }
            self.cr = true;
        }
    }

    fn push(&mut self, text: &[u8]) {
        if self.long || self.bytes.len() + text.len() + 2 > MAX_COMMAND {
            self.long = true;
            self.bytes = Vec::new();
        } else {
            self.bytes.extend_from_slice(text);
        }
    }

    fn finish(&mut self) -> Frame {
        let line = std::mem::take(self);
        if line.long { Frame::LongLine } else { Frame::Line(line.bytes) }
    }
}

impl Place {
    fn read(&mut self, input: &mut &[u8], content: &mut Content) -> Option<Frame> {
        loop {
            // The longest that one octet can bring is the held CR and itself.
            if input.is_empty() {
                return None;
            } else if content.free() < 2 {
                return Some(Frame::Room(content.wanted()));
            }
            if matches!(self, Self::Text) || matches!(self, Self::LineStart) && input.first() != Some(&b'.') {
                *self = Self::plain(input, content);
                continue;
            }
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            *self = match (*self, byte) {
                (Self::LineStart, b'.') => Self::Dot,
                (Self::Dot, b'\r') => Self::DotCr,
                (Self::DotCr, b'\n') => return Some(Frame::ContentEnd),
                (Self::Cr, b'\n') => {
                    content.push(b"\n");
                    Self::LineStart
                }
                (before, byte) => {
                    // The dot goes (RFC 5321, section 4.5.2), its CR was content.
                    if let Self::DotCr = before {
                        content.push(b"\r");
                    }
                    content.push(&[byte]);
                    if byte == b'\r' { Self::Cr } else { Self::Text }
                }
            };
        }
    }

    /// Takes all that stands before the next dot at the start of a line, as it is: nothing in it is to be changed.
    fn plain(input: &mut &[u8], content: &mut Content) -> Self {
        let room = input.get(..content.free()).unwrap_or(input);
        let (text, rest) = input.split_at(memmem::find(room, b"\r\n.").map_or(room.len(), |end| end + 2));
        content.push(text);
        *input = rest;
        match text {
            [.., b'\r', b'\n'] => Self::LineStart,
            [.., b'\r'] => Self::Cr,
            _ => Self::Text,
        }
    }
}

fn chunk(left: &mut u64, input: &mut &[u8], content: &mut Content) -> Option<Frame> {
    while *left > 0 {
        if input.is_empty() {
            return None;
        } else if content.free() == 0 {
            return Some(Frame::Room(content.wanted()));
        }
        let take = input.len().min(content.free()).min(usize::try_from(*left).unwrap_or(usize::MAX));
        let (part, rest) = input.split_at(take);
        content.push(part);
        *input = rest;
        *left = left.saturating_sub(take as u64);
    }
    Some(Frame::ChunkEnd)
}

/// A mail on its way in. Never holds more than was granted, nor more than the limit.
#[derive(Debug)]
struct Content {
    bytes: Vec<u8>,
    limit: usize,
    granted: usize,
    spoilt: Option<Spoilt>,
}

impl Content {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, granted: 0, spoilt: None }
    }

    /// Octets that can be pushed before more must be granted.
    fn free(&self) -> usize {
        if self.spoilt.is_some() { usize::MAX } else { self.granted.saturating_sub(self.bytes.len()) }
    }

    /// As much again as there is, but no more than the limit; two over it, so that passing it is seen without asking for more.
    fn wanted(&self) -> usize {
        let most = self.limit.saturating_add(2).saturating_sub(self.granted);
        self.granted.max(FIRST_GRANT).min(most)
    }

    fn grant(&mut self, octets: usize) {
        if self.spoilt.is_none() {
            self.granted = self.granted.saturating_add(octets);
        }
    }

    /// At first less than was granted: most mails are far smaller. A large one gets addresses for all that it may come to, of which the system
    /// backs with memory what is written to, so that it is never copied from one place to a larger one.
    fn make_room(&mut self, part: usize) {
        let needed = self.bytes.len().saturating_add(part);
        if needed > self.bytes.capacity() {
            let whole = self.limit.max(ADDRESSES).saturating_sub(self.bytes.len());
            if needed > LARGE && self.bytes.try_reserve_exact(whole).is_ok() {
                return;
            }
            let step = [FIRST_ROOM, LARGE].into_iter().find(|step| needed <= *step);
            let room = step.unwrap_or(self.granted).min(self.granted).max(needed);
            self.bytes.reserve_exact(room.saturating_sub(self.bytes.len()));
        }
    }

    fn push(&mut self, part: &[u8]) {
        if self.spoilt.is_some() {
        } else if self.bytes.len().saturating_add(part.len()) > self.limit {
            self.spoil(Spoilt::TooBig);
        } else {
            self.make_room(part.len());
            self.bytes.extend_from_slice(part);
        }
    }

    fn spoil(&mut self, why: Spoilt) {
        self.spoilt.get_or_insert(why);
        self.bytes = Vec::new();
        self.granted = 0;
    }
}

#[cfg(test)]
#[path = "framing_tests.rs"]
mod tests;
