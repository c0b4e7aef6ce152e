//! Walks files, directories, Maildirs, mbox files and standard input for mails, one at a time, in a stable order.
//!
//! What can't be read is given as an error in its place, and the walk goes on. A mail longer than [`MAX_OCTETS`] is read up to there.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use walkdir::{DirEntry, WalkDir};

use super::mbox::{Mbox, is_from_line};

/// So many octets of one mail are read: more than any server takes.
pub const MAX_OCTETS: usize = 50 * 1024 * 1024;

/// One mail and where it came from: the path as given or walked, `path#n` for the n-th of an mbox, `-` for standard input.
#[derive(Debug)]
pub struct Mail {
    pub source: String,
    pub raw: Vec<u8>,
}

/// What couldn't be read, in one line with what to do.
#[derive(Debug, thiserror::Error)]
#[error("can't read {path}: {cause}; check that it exists and may be read")]
pub struct Unreadable {
    path: String,
    cause: String,
}

/// Gives every mail under `paths` to `each`, until that gives false.
pub fn walk(paths: &[PathBuf], each: &mut dyn FnMut(Result<Mail, Unreadable>) -> bool) {
    for path in paths {
        let going = if path.as_os_str() == "-" { read("-", io::stdin().lock(), each) } else { walk_path(path, each) };
        if !going {
            return;
        }
    }
}

/// How many octets stand under `paths`: for a progress bar. `None` where standard input is among them.
pub fn octets(paths: &[PathBuf]) -> Option<u64> {
    if paths.iter().any(|path| path.as_os_str() == "-") {
        return None;
    }
    let size = |entry: DirEntry| std::fs::metadata(entry.path()).map_or(0, |meta| meta.len());
    Some(paths.iter().flat_map(|path| entries(path)).filter_map(Result::ok).map(size).sum())
}

fn walk_path(path: &Path, each: &mut dyn FnMut(Result<Mail, Unreadable>) -> bool) -> bool {
    for entry in entries(path) {
        let going = match entry {
            Ok(entry) => read_file(entry.path(), each),
            Err(error) => {
                let at = error.path().unwrap_or(path).display().to_string();
                let cause = error.into_io_error().map_or_else(|| "the folder loops".to_owned(), |cause| cause.to_string());
                each(Err(Unreadable { path: at, cause }))
            }
        };
        if !going {
            return false;
        }
    }
    true
}

/// The files under a path by name. Of a Maildir only its mails in `cur` and `new`: what is in `tmp` isn't delivered yet, and index files are no
/// mails.
fn entries(path: &Path) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
    let wanted = |entry: &DirEntry| {
        let Some(parent) = entry.path().parent().filter(|_| entry.depth() > 0) else { return true };
        if entry.file_type().is_dir() {
            return entry.file_name() != "tmp" || !is_maildir(parent);
        }
        !entry.file_name().as_encoded_bytes().starts_with(b".") && !is_maildir(parent)
    };
    let is_file =
        |entry: &DirEntry| entry.file_type().is_file() || (!entry.file_type().is_dir() && entry.path().is_file()) || entry.depth() == 0;
    WalkDir::new(path)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(wanted)
        .filter(move |entry| entry.as_ref().map_or(true, |entry| is_file(entry) && !entry.path().is_dir()))
}

fn is_maildir(folder: &Path) -> bool {
    folder.join("cur").is_dir() && folder.join("new").is_dir()
}

/// An .eml and a Maildir's file are one mail, whatever line it begins with.
fn is_one_mail(path: &Path) -> bool {
    let folder = path.parent().filter(|folder| folder.ends_with("cur") || folder.ends_with("new"));
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("eml")) || folder.and_then(Path::parent).is_some_and(is_maildir)
}

fn read_file(path: &Path, each: &mut dyn FnMut(Result<Mail, Unreadable>) -> bool) -> bool {
    let source = path.display().to_string();
    match File::open(path) {
        Ok(file) if is_one_mail(path) => whole(&source, file, Vec::new(), each),
        Ok(file) => read(&source, file, each),
        Err(error) => each(Err(Unreadable { path: source, cause: error.to_string() })),
    }
}

/// Reads one mail, or many where it begins as an mbox does.
fn read(source: &str, mut input: impl Read, each: &mut dyn FnMut(Result<Mail, Unreadable>) -> bool) -> bool {
    let mut start = Vec::new();
    if let Err(error) = input.by_ref().take(1000).read_to_end(&mut start) {
        return each(Err(Unreadable { path: source.to_owned(), cause: error.to_string() }));
    }
    let first_line = start.split(|&b| b == b'\n').next().unwrap_or_default();
    if !is_from_line(first_line) {
        return whole(source, input, start, each);
    }
    let mut mbox = Mbox::new(BufReader::new(io::Cursor::new(start).chain(input)), MAX_OCTETS);
    let mut previous: Option<Vec<u8>> = None;
    let mut number = 0_usize;
    loop {
        let next = match mbox.next_mail() {
            Ok(next) => next,
            Err(error) => return each(Err(Unreadable { path: source.to_owned(), cause: error.to_string() })),
        };
        let last = next.is_none();
        if let Some(raw) = std::mem::replace(&mut previous, next) {
            number += 1;
            // A single mail that kept its `From ` line goes by the file's name alone.
            let source = if last && number == 1 { source.to_owned() } else { format!("{source}#{number}") };
            if !each(Ok(Mail { source, raw })) {
                return false;
            }
        }
        if last {
            return true;
        }
    }
}

fn whole(source: &str, input: impl Read, mut raw: Vec<u8>, each: &mut dyn FnMut(Result<Mail, Unreadable>) -> bool) -> bool {
    let room = MAX_OCTETS.saturating_sub(raw.len()) as u64;
    match input.take(room).read_to_end(&mut raw) {
        Ok(_) => each(Ok(Mail { source: source.to_owned(), raw })),
        Err(error) => each(Err(Unreadable { path: source.to_owned(), cause: error.to_string() })),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn sources(paths: &[PathBuf]) -> Vec<String> {
        let mut found = Vec::new();
        walk(paths, &mut |mail| {
            found.push(mail.map_or_else(|error| error.to_string(), |mail| mail.source));
            true
        });
        found
    }

    #[test]
    fn folders_maildirs_and_mboxes_are_walked_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for sub in ["md/cur", "md/new", "md/tmp", "md/.Sent/cur", "md/.Sent/new", "tmp"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        for file in ["b.eml", "a.eml", "md/cur/2:2,S", "md/new/1", "md/tmp/3", "md/dovecot-uidlist", "md/.Sent/cur/4", "tmp/5", ".hidden"] {
            fs::write(root.join(file), "Subject: x\n\ny\n").unwrap();
        }
        let mbox = "From a Mon Nov 23 05:26:59 2026\nSubject: 1\n\ny\n\nFrom a Mon Nov 23 05:26:59 2026\nSubject: 2\n\ny\n";
        fs::write(root.join("z.mbox"), mbox).unwrap();
        fs::write(root.join("md/new/1"), mbox).unwrap();
        let at = |name: &str| root.join(name).display().to_string();
        let expected = ["a.eml", "b.eml", "md/.Sent/cur/4", "md/cur/2:2,S", "md/new/1", "tmp/5", "z.mbox#1", "z.mbox#2"].map(at);
        assert_eq!(sources(&[root.to_owned()]), expected);
    }

    #[test]
    fn what_is_missing_is_said_and_the_rest_read() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("a");
        fs::write(&there, "Subject: x\n\ny\n").unwrap();
        let found = sources(&[folder.path().join("none"), there.clone()]);
        assert!(found[0].starts_with("can't read ") && found[0].contains("none"), "{found:?}");
        assert_eq!(found[1], there.display().to_string());
    }
}
