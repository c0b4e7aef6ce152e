//! Any text as a configuration. It may name the files that tests/bad-configs name, and others that aren't there.

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::LazyLock};

use bounced::config::Config;

/// Files as configurations name them; left behind in the folder for temporary files.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("bounced-fuzz-config-{}", std::process::id()));
    let secret = "correct horse battery staple\n";
    let files = [
        ("verp.secret", secret),
        ("verp.hash", secret),
        ("mail.password", secret),
        ("good.secret", secret),
        ("crm.token", secret),
        ("empty.secret", "\n"),
        ("good.eml", "From: news@example.com\r\nTo: {{ address }}\r\nSubject: Hello\r\n\r\nHello {{ local }}\r\n"),
        ("bad-template.txt", "{% if address %}"),
        ("templates/hard-bounce.txt", "{{ address }} bounced"),
        ("tls/cert.pem", ""),
        ("tls/key.pem", ""),
    ];
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("in the folder")).expect("a folder");
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    }
    folder
});

/// Files of the machine are none of the fuzzer's business, and some of them never end: who names one is read without the leading slash.
fn harmless(text: &str) -> String {
    text.replace("/dev/", "dev/").replace("/proc/", "proc/")
}

/// Any bytes give a configuration or errors: each one line with its place in the file, all of them the same each time. What is good bears
/// being shown, and a good one with one more unknown key is bad.
pub fn config(data: &[u8]) {
    let text = harmless(&String::from_utf8_lossy(data));
    let file = FOLDER.join("bounced.toml");
    let lines = text.lines().count() + 1;
    match Config::read(&text, &file, None) {
        Ok(config) => {
            assert!(!format!("{config:?}").contains("horse battery"), "a secret is shown");
            assert!(!config.smtp.domains.is_empty() && !config.hostname.is_empty());
            assert!(config.mail.is_some() || config.smtp.postmaster.is_none());
            let worse = Config::read(&format!("no_such_key_at_all = 1\n{text}"), &file, None).expect_err("an unknown key is an error");
            assert!(worse.to_string().contains("no_such_key_at_all"), "{worse}");
        }
        Err(errors) => {
            assert!(!errors.problems.is_empty());
            let shown = errors.to_string();
            assert_eq!(shown.lines().count(), errors.problems.len(), "{shown}");
            assert!(!shown.contains("horse battery"), "a secret is told: {shown}");
            assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
            assert!(errors.problems.iter().all(|problem| (1..=lines).contains(&problem.line)), "{shown}");
            assert_eq!(Config::read(&text, &file, None).expect_err("as before"), errors);
        }
    }
}
