//! A folder with the files that configurations name.

#![allow(dead_code)]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

pub fn write(folder: &Path, name: &str, mode: u32, content: impl AsRef<[u8]>) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

pub fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("folder")).unwrap();
    write(at, "good.secret", 0o640, "correct horse battery staple\n");
    write(at, "open.secret", 0o644, "correct horse battery staple\n");
    write(at, "short.secret", 0o600, "correct horse battery staple\ntoo short\n");
    write(at, "two.secret", 0o600, "correct horse battery staple\nanother horse battery staple\n");
    write(at, "empty.secret", 0o600, "\n");
    write(at, "bad-template.txt", 0o644, "{% if address %}");
    write(at, "encoded.eml", 0o644, "Subject: Hello\r\nContent-Transfer-Encoding: base64\r\n\r\n{{ local }}\r\n");
    write(at, "bad.eml", 0o644, "From: news@example.com\r\nTo: {{ address }}\r\nSubject: Hello\r\n\r\n{{ nme }}\r\n");
    write(at, "good.eml", 0o644, "From: news@example.com\r\nTo: {{ address }}\r\nSubject: Hello\r\n\r\nHello {{ local }}\r\n");
    write(at, "latin1.txt", 0o644, b"J\xf6rg");
    for name in ["verp.secret", "verp.hash", "mail.password"] {
        write(at, name, 0o600, "correct horse battery staple\n");
    }
    write(at, "tls/cert.pem", 0o644, "");
    write(at, "tls/key.pem", 0o600, "");
    folder
}
