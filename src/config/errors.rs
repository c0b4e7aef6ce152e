//! What is wrong with a configuration, all at once.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// From 1.
    pub line: usize,
    /// With its tables: `smtp.listen`. Empty where the text is no TOML.
    pub key: String,
    /// What is wrong, and how to mend it.
    pub what: String,
}

impl Problem {
    /// `file:line: key: what`, one line.
    pub fn told(&self, file: &Path) -> String {
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        // A library's message may have several lines, and what is quoted of the file any character.
        let told = format!("{key}{}", self.what.replace('\n', ", ")).replace(char::is_control, " ");
        format!("{}:{}: {told}", file.display(), self.line)
    }
}

/// Everything that is wrong with one file, sorted by line; shows as one line each: `file:line: key: what`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors {
    pub file: PathBuf,
    pub problems: Vec<Problem>,
}

impl Errors {
    pub(super) fn new(file: PathBuf, mut problems: Vec<Problem>) -> Errors {
        problems.sort();
        problems.dedup();
        Errors { file, problems }
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let end = if place == 0 { "" } else { "\n" };
            write!(f, "{end}{}", problem.told(&self.file))?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
