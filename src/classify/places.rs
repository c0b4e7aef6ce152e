//! Where words about one recipient may stand: the diagnostic, the recipient's own paragraph, the human-readable part as a whole (taxonomy rule 3).
//!
//! What stands in the prose is read only when somebody asks for it.

use std::sync::LazyLock;

use regex::bytes;

use super::prose::Prose;

/// The places of one recipient.
#[derive(Clone, Default)]
pub struct Places<'a> {
    diagnostic: Option<&'a str>,
    prose: Option<&'a Prose<'a>>,
    /// All names of the recipient, in normal form.
    names: Vec<String>,
    /// The notice speaks of nobody else, or says the same of all.
    whole: bool,
}

/// What stands there.
#[derive(Debug, Clone, Copy)]
pub struct Texts<'p> {
    pub diagnostic: Option<&'p str>,
    pub section: Option<&'p str>,
    pub human: Option<&'p str>,
}

impl<'a> Places<'a> {
    /// Of somebody whom the mail as a whole speaks of.
    pub fn all(prose: &'a Prose<'a>) -> Places<'a> {
        Places { prose: Some(prose), whole: true, ..Places::default() }
    }

    pub fn of(diagnostic: Option<&'a str>, prose: &'a Prose<'a>, names: Vec<String>, whole: bool) -> Places<'a> {
        Places { diagnostic: diagnostic.filter(|text| !text.trim().is_empty()), prose: Some(prose), names, whole }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The field.
    pub fn diagnostic(&self) -> Option<&'a str> {
        self.diagnostic
    }

    /// The recipient's own paragraph.
    pub fn section(&self) -> Option<&'a str> {
        self.prose?.section(&self.names)
    }

    /// The same, read only where a form may stand in the prose.
    pub fn section_with(&self, form: &LazyLock<Option<bytes::Regex>>) -> Option<&'a str> {
        let form = form.as_ref()?;
        self.prose.filter(|prose| prose.may_have(form))?.section(&self.names)
    }

    /// The human-readable part as a whole; none where it speaks of others too.
    pub fn human(&self) -> Option<&'a str> {
        let theirs = self.whole || self.diagnostic.is_none() && self.section().is_none();
        self.prose.filter(|_| theirs).map(Prose::human)
    }

    pub fn texts(&self) -> Texts<'a> {
        Texts { diagnostic: self.diagnostic, section: self.section(), human: self.human() }
    }
}
