//! Walks TOML that knows its places. Each table remembers the keys it was asked for, so that what nobody asked for is an error.
//!
//! Nothing here stops at the first error: a getter that fails writes it down and gives `None`, and the walk goes on.

use std::{cell::RefCell, fmt::Display, path::Path};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::errors::{Errors, Problem};

/// The places of one text, and what was found wrong with it so far.
#[derive(Debug)]
pub struct Reader {
    /// Byte offset of each line's start.
    starts: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
    /// What is no error, and hardly meant.
    warnings: RefCell<Vec<Problem>>,
}

impl Reader {
    pub fn new(text: &str) -> Reader {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Reader { starts, problems: RefCell::default(), warnings: RefCell::default() }
    }

    /// The line, from 1, in which a byte stands.
    pub fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    pub fn fail(&self, line: usize, key: &str, what: impl Display) {
        self.problems.borrow_mut().push(Problem { line, key: key.to_owned(), what: what.to_string() });
    }

    pub fn failed(&self) -> bool {
        !self.problems.borrow().is_empty()
    }

    pub fn errors(self, file: &Path) -> Errors {
        Errors::new(file.to_owned(), self.problems.into_inner())
    }
}

/// A table and where it stands.
#[derive(Debug)]
pub struct Table<'a> {
    reader: &'a Reader,
    /// With a dot behind it, empty at the top.
    prefix: String,
    pub line: usize,
    entries: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct At<'a> {
    reader: &'a Reader,
    pub key: String,
    pub line: usize,
    value: &'a DeValue<'a>,
}

impl<'a> Table<'a> {
    pub fn top(reader: &'a Reader, entries: &'a DeTable<'a>) -> Table<'a> {
        Table { reader, prefix: String::new(), line: 1, entries, asked: RefCell::default() }
    }

    pub fn get(&self, name: &'static str) -> Option<At<'a>> {
        if !self.asked.borrow().contains(&name) {
            self.asked.borrow_mut().push(name);
        }
        self.entries.iter().find(|(key, _)| key.get_ref() == name).map(|(key, value)| self.at(key, value))
    }

    /// Like [`Table::get`], and a missing one is an error that shows how to write it.
    pub fn need(&self, name: &'static str, example: &str) -> Option<At<'a>> {
        let found = self.get(name);
        if found.is_none() {
            self.fail(name, format_args!("is missing; write it as {name} = {example}"));
        }
        found
    }

    /// Reads a text by `parse`, or takes `default` where the key is missing.
    pub fn or<T>(&self, name: &'static str, default: T, parse: impl FnOnce(&str) -> Result<T, String>) -> T {
        self.get(name).and_then(|at| at.parsed(parse)).unwrap_or(default)
    }

    pub fn boolean(&self, name: &'static str, default: bool) -> bool {
        self.get(name).and_then(|at| at.boolean()).unwrap_or(default)
    }

    pub fn integer(&self, name: &'static str, default: u64, range: std::ops::RangeInclusive<u64>) -> u64 {
        self.get(name).and_then(|at| at.integer(range)).unwrap_or(default)
    }

    /// The items of a list; none where the key is missing.
    pub fn list(&self, name: &'static str) -> Vec<At<'a>> {
        self.get(name).and_then(|at| at.items()).unwrap_or_default()
    }

    pub fn table(&self, name: &'static str) -> Option<Table<'a>> {
        self.get(name)?.table()
    }

    /// All entries, in the file's order: for tables whose keys the operator chooses.
    pub fn all(&self) -> Vec<(&'a str, At<'a>)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(key, _)| key.span().start);
        all.into_iter().map(|(key, value)| (key.get_ref().as_ref(), self.at(key, value))).collect()
    }

    /// An error about one of this table's keys, at the key where it stands, else at the table.
    pub fn fail(&self, name: &str, what: impl Display) {
        self.reader.fail(self.line_of(name), &format!("{}{name}", self.prefix), what);
    }

    /// Like [`Table::fail`], for what may stay as it is.
    pub fn warn(&self, name: &str, what: impl Display) {
        let problem = Problem { line: self.line_of(name), key: format!("{}{name}", self.prefix), what: what.to_string() };
        self.reader.warnings.borrow_mut().push(problem);
    }

    /// All warnings so far, of the whole file, by line.
    pub fn warnings(&self) -> Vec<Problem> {
        let mut warnings = self.reader.warnings.borrow().clone();
        warnings.sort();
        warnings
    }

    fn line_of(&self, name: &str) -> usize {
        self.entries.iter().find(|(key, _)| key.get_ref() == name).map_or(self.line, |(key, _)| self.reader.line(key.span().start))
    }

    /// Whatever nobody asked for is an error that names the nearest known key.
    pub fn close(self) {
        let asked = self.asked.borrow();
        for (key, value) in self.entries {
            let name: &str = key.get_ref();
            if !asked.contains(&name) {
                let at = self.at(key, value);
                match nearest(name, asked.iter().copied()) {
                    Some(known) => at.fail::<()>(format_args!("no such key; did you mean '{known}'?")),
                    None => at.fail::<()>(format_args!("no such key; there are {}", asked.join(", "))),
                };
            }
        }
    }

    fn at(&self, key: &'a Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> At<'a> {
        let line = self.reader.line(key.span().start);
        At { reader: self.reader, key: format!("{}{}", self.prefix, key.get_ref()), line, value: value.get_ref() }
    }
}

impl<'a> At<'a> {
    /// Writes an error down; gives `None`, so that it can end a chain.
    pub fn fail<T>(&self, what: impl Display) -> Option<T> {
        self.reader.fail(self.line, &self.key, what);
        None
    }

    /// `Some`, or the error written down.
    pub fn ok<T>(&self, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.fail::<T>(error)).ok()
    }

    pub fn text(&self) -> Option<&'a str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.fail(format_args!("is {}, and must be a text in quotes", self.sort())),
        }
    }

    pub fn parsed<T>(&self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        self.ok(parse(self.text()?))
    }

    pub fn boolean(&self) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.fail(format_args!("is {}, and must be true or false", self.sort())),
        }
    }

    pub fn integer(&self, range: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let DeValue::Integer(written) = self.value else {
            return self.fail(format_args!("is {}, and must be a whole number", self.sort()));
        };
        let number = u64::from_str_radix(written.as_str(), written.radix()).ok().filter(|number| range.contains(number));
        number.or_else(|| self.fail(format_args!("{written} is not between {} and {}", range.start(), range.end())))
    }

    pub fn float(&self) -> Option<f64> {
        match self.value {
            DeValue::Float(written) => self.ok(written.as_str().parse::<f64>()),
            DeValue::Integer(written) => self.ok(written.as_str().parse::<f64>()),
            _ => self.fail(format_args!("is {}, and must be a number", self.sort())),
        }
    }

    pub fn items(&self) -> Option<Vec<At<'a>>> {
        let DeValue::Array(items) = self.value else {
            if matches!(self.value, DeValue::Table(_)) {
                return self.fail("is a table, and must be a list: [ … ], or a section under two brackets, [[…]]");
            }
            return self.fail(format_args!("is {}, and must be a list in [ ]", self.sort()));
        };
        let at = |item: &'a Spanned<DeValue<'a>>| At {
            reader: self.reader,
            key: self.key.clone(),
            line: self.reader.line(item.span().start),
            value: item.get_ref(),
        };
        Some(items.iter().map(at).collect())
    }

    pub fn table(&self) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.value else {
            return self.fail(format_args!("is {}, and must be a table", self.sort()));
        };
        Some(Table { reader: self.reader, prefix: format!("{}.", self.key), line: self.line, entries, asked: RefCell::default() })
    }

    /// The items of a list, or what stands there alone.
    pub fn one_or_many(&self) -> Vec<At<'a>> {
        if self.is_list() { self.items().unwrap_or_default() } else { vec![self.clone()] }
    }

    pub fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub fn is_text(&self) -> bool {
        matches!(self.value, DeValue::String(_))
    }

    pub fn value(&self) -> &'a DeValue<'a> {
        self.value
    }

    fn sort(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }
}

/// The known word that `word` was most likely meant to be.
pub fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(word, known), known));
    scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}
