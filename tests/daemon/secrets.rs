//! A canary in every secret that the configuration can hold: used by the daemon, and told to nobody.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use bounced::config::Config;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use rustix::process::Signal;

use crate::operator::get;
use crate::support::{
    await_mail, await_some,
    client::Client,
    daemon::{Daemon, Setup, write_secret},
    deeds::{Why, signature},
    http_catcher::{Answer, HttpCatcher},
    mail_catcher::MailCatcher,
};

const VERP: &str = "canary-verp-Zq7xW2mK9pLt4vRs";
const OLD_VERP: &str = "canary-older-Yb3nH8dJ5cGf1wQe";
const HASH: &str = "canary-hash-Xc6tU1zA8oIp3kMn";
const PASSWORD: &str = "canary-password-Wd9rE4sF7gHj2lBv";
const TOKEN: &str = "canary-token-Ve5yT8uI2oPa6sDf";
const HOOK: &str = "canary-hook-Uf1gH4jK7lZx3cVb";
/// Of a hook whose secret stands in base64.
const CODED_HOOK: &str = "canary-coded-Tg8nM2qW5eRt9yUi";
/// In the path of a URL: not a secret to the configuration, and yet none of the log's business.
const IN_URL: &str = "canary-url-Sh4oP7aS1dFg6hJk";

/// However a text may be spelt.
fn spellings(secret: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(secret).into_owned();
    let list = |separator: &str| secret.iter().take(12).map(u8::to_string).collect::<Vec<_>>().join(separator);
    let mut all = vec![text.to_lowercase(), HEXLOWER.encode(secret), list(", "), list(",")];
    // Base64 of anything that the secret stands in: at each of the three places where it can begin.
    for before in 0..3 {
        for spelt in [BASE64.encode(&[&vec![0; before], secret].concat()), BASE64URL_NOPAD.encode(&[&vec![0; before], secret].concat())] {
            all.push(spelt[4..spelt.len() - 4].to_lowercase());
        }
    }
    all
}

/// What must stand nowhere, in lower case.
struct Canaries(Vec<String>);

impl Canaries {
    #[track_caller]
    fn absent(&self, from: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        for canary in &self.0 {
            if let Some(at) = text.find(canary) {
                let start = text[..at].rfind('\n').map_or(0, |line| line + 1);
                panic!("{from} tells {canary}: {}", text[start..].lines().next().unwrap_or_default());
            }
        }
    }
}

struct House {
    daemon: Daemon,
    http: HttpCatcher,
    mail: MailCatcher,
    canaries: Canaries,
}

fn house(log_format: &str) -> House {
    let setup = Setup::new("");
    let credentials = setup.dir.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (setup.dir.path().join("cert.pem"), credentials.join("key.pem"));
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let coded = format!("whsec_{}", BASE64.encode(CODED_HOOK.as_bytes()));
    for (name, text) in [("verp", format!("{VERP}\n{OLD_VERP}")), ("hash", HASH.to_owned()), ("password", PASSWORD.to_owned())] {
        write_secret(&credentials.join(name), &text);
    }
    for (name, text) in [("token", TOKEN), ("hook", HOOK), ("coded", &coded)] {
        write_secret(&setup.dir.path().join(name), text);
    }
    let (http, mail) = (HttpCatcher::start(), MailCatcher::start_with_tls(&cert, &key, Some(("bounced", PASSWORD))));
    let setup = setup.with(&format!(
        r#"
        [smtp]
        tls = {{ cert = "cert.pem", key = "$CREDENTIALS_DIRECTORY/key.pem" }}
        [verp]
        secret_file = "$CREDENTIALS_DIRECTORY/verp"
        hash_key_file = "$CREDENTIALS_DIRECTORY/hash"
        [mail]
        relay = "smtp+starttls://localhost:{port}"
        username = "bounced"
        password_file = "$CREDENTIALS_DIRECTORY/password"
        [[trigger]]
        name = "each"
        when = "hard-bounce"
        count = "every 1"
        do = [
          {{ suppress = true }}, {{ report = "people" }},
          {{ task = {{ title = "Call {{{{ address }}}}" }} }},
          {{ mail = {{ to = "ops@example.com", template = "t" }} }},
          {{ post = {{ url = "{good}/{IN_URL}", secret_file = "hook", headers = {{ Authorization = {{ secret_file = "token", prefix = "Bearer " }} }} }} }},
          {{ post = {{ url = "{good}/coded", secret_file = "coded", headers = {{ X-Token = {{ secret_file = "token" }} }} }} }},
          {{ post = {{ url = "{bad}/", headers = {{ X-Token = {{ secret_file = "token" }} }} }} }},
        ]
        [[report]]
        name = "people"
        to = ["ops@example.com"]
        [templates]
        t = {{ subject = "{{{{ address }}}}", body = "{{{{ diagnostic }}}}" }}
        "#,
        port = mail.port(),
        good = http.url("").replace("127.0.0.1", "localhost"),
        bad = http.url("/answers-with-the-request"),
    ));
    let mut daemon = setup.asleep();
    daemon.run_args = vec!["--log-format".into(), log_format.into()];
    let env = |name: &str, value: &Path| (name.to_owned(), value.display().to_string());
    daemon.env = vec![env("SSL_CERT_FILE", &cert), env("CREDENTIALS_DIRECTORY", &credentials)];
    daemon.env.extend([("BOUNCED_LOG", "trace"), ("RUST_BACKTRACE", "full")].map(|(name, value)| (name.to_owned(), value.to_owned())));
    let key = made.signing_key.serialize_der();
    let pem = made.signing_key.serialize_pem();
    // The scalar of an EC key in PKCS #8 (RFC 5915): 32 octets behind their tag.
    let scalar = key.windows(2).position(|tag| tag == [4, 32]).map(|at| key[at + 2..at + 34].to_vec()).unwrap();
    let mut canaries: Vec<String> =
        [VERP, OLD_VERP, HASH, PASSWORD, TOKEN, HOOK, CODED_HOOK].iter().flat_map(|secret| spellings(secret.as_bytes())).collect();
    canaries.extend(spellings(&scalar).into_iter().skip(1));
    canaries.extend(pem.lines().skip(1).filter(|line| line.len() > 40).map(str::to_lowercase));
    House { daemon, http, mail, canaries: Canaries(canaries) }
}

impl House {
    /// What a command says, whether or not it succeeds.
    fn say(&self, args: &[&str]) -> Vec<u8> {
        let output = self.daemon.run(args);
        [output.stdout, output.stderr].concat()
    }
}

fn bounces_that_use_all_secrets(house: &House) {
    let daemon = &house.daemon;
    house.http.otherwise(Answer::status(200));
    // The first post to each path is answered with what it brought; the order among the paths is open, so all get it once.
    for _ in 0..3 {
        house.http.answer(Answer::status(400).body(format!("400: you sent Authorization: Bearer {TOKEN}, X-Token: {TOKEN}").as_bytes()));
    }
    daemon.bounces(1, "alice@example.org", Why::Hard);
    let signed = await_some("the posts", || {
        let asked = house.http.asked();
        let with = |path: &str| asked.iter().find(|asked| asked.target.ends_with(path)).cloned();
        Some((with(IN_URL)?, with("/coded")?, with("/answers-with-the-request/")?))
    });
    assert_eq!(signed.0.header("authorization"), Some(format!("Bearer {TOKEN}").as_str()));
    for (asked, secret) in [(&signed.0, HOOK), (&signed.1, CODED_HOOK)] {
        let header = |name: &str| asked.header(name).unwrap();
        assert_eq!(header("webhook-signature"), signature(secret, header("webhook-id"), header("webhook-timestamp"), &asked.body));
    }
    assert_eq!(await_mail(&house.mail, |_| true).user.as_deref(), Some("bounced"), "logged in with the password");
}

/// Everything that a command, an endpoint or a file of the daemon's tells.
fn all_that_is_told(house: &House, canaries: &Canaries) {
    let commands: &[&[&str]] = &[
        &["check"],
        &["show", "alice@example.org"],
        &["counts"],
        &["events"],
        &["explain", "1"],
        &["outbox", "list", "--all"],
        &["tasks"],
        &["report", "list"],
        &["report", "preview", "people"],
        &["sequence", "list"],
        &["guard", "list"],
        &["verp", "encode", "alice@example.org"],
        &["verp", "decode", "b+-+aaaaaaaaaaaaa+alice=example.org@returns.test"],
        &["export"],
        &["export", "--format", "jsonl"],
        &["simulate"],
        &["alert", "test"],
        &["backup", "-"],
    ];
    for args in commands {
        canaries.absent(&args.join(" "), &house.say(args));
        canaries.absent(&args.join(" "), &house.say(&[*args, &["--json"]].concat()));
    }
    for page in ["/metrics", "/healthz"] {
        canaries.absent(page, get(house.daemon.setup.metrics, page).as_bytes());
    }
    for mail in house.mail.mails() {
        canaries.absent("a mail", &mail.data);
    }
}

fn files_below(folder: &Path, canaries: &Canaries) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, canaries);
        } else if path.is_file() {
            canaries.absent(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

/// At the most talkative level, in both formats, over reloads that fail because of the secrets, and as it crashes.
fn told_to_nobody(log_format: &str) {
    let mut house = house(log_format);
    house.daemon.start();
    // Commands that are run by hand know of no credentials; they take the files from beside the configuration.
    for name in ["verp", "hash", "password", "key.pem"] {
        fs::copy(house.daemon.setup.dir.path().join("credentials").join(name), house.daemon.setup.dir.path().join(name)).unwrap();
    }
    bounces_that_use_all_secrets(&house);
    let certificate = fs::read(house.daemon.setup.dir.path().join("cert.pem")).unwrap();
    let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(&certificate).unwrap();
    Client::connect(house.daemon.smtp()).starttls("localhost", &certificate);
    // Told are the failures of secrets, too: two that can't be used, and a login that is refused.
    let refused = |daemon: &Daemon| daemon.log().matches("the new configuration is refused").count();
    let credentials = house.daemon.setup.dir.path().join("credentials");
    for (nth, (name, worse)) in
        [("verp", format!("{VERP}\n{}", &OLD_VERP[..12])), ("hash", format!("{HASH}\n{OLD_VERP}"))].iter().enumerate()
    {
        let good = fs::read(credentials.join(name)).unwrap();
        write_secret(&credentials.join(name), worse);
        house.daemon.signal(Signal::HUP);
        await_some("a refused reload", || (refused(&house.daemon) > nth).then_some(()));
        fs::write(credentials.join(name), good).unwrap();
    }
    write_secret(&credentials.join("password"), &format!("{PASSWORD} but wrong"));
    house.daemon.bounces(2, "bob@example.org", Why::Hard);
    await_some("a refused login", || house.daemon.log().contains("535").then_some(()));
    write_secret(&credentials.join("password"), PASSWORD);
    house.daemon.signal(Signal::HUP);
    await_some("all jobs done", || house.daemon.await_idle().is_empty().then_some(()));
    assert!(house.daemon.log().contains("you sent Authorization: Bearer …"), "what a target answers is told, less the secret");

    all_that_is_told(&house, &house.canaries);
    let config = Config::load(&house.daemon.setup.config_path()).unwrap();
    house.canaries.absent("the configuration's Debug", format!("{config:?} {config:#?}").as_bytes());
    assert!(house.daemon.stop().success());
    house.daemon.failpoints = Some("after-commit=panic(the writer is made to panic)".into());
    house.daemon.start();
    let rcpt = house.daemon.verp("carol@example.org", None);
    let mail = Why::Hard.of(3, &rcpt, "carol@example.org").postfix();
    let crashed = Client::connect(house.daemon.smtp()).try_send("", &[&rcpt], &mail);
    assert!(crashed.map_or(true, |reply| reply.code != 250), "no 250 of a writer that panicked");
    assert!(!house.daemon.wait().success());
    let log = house.daemon.log();
    assert!(log.contains("the writer is made to panic") && log.contains("stack backtrace"), "it crashed, with a backtrace");
    assert!(log.contains("TRACE"), "the log is at its most talkative");
    house.canaries.absent("the log", log.as_bytes());
    Canaries(vec![IN_URL.to_lowercase()]).absent("the log", log.as_bytes());
    files_below(&house.daemon.setup.dir.path().join("data"), &house.canaries);
}

#[test]
fn no_secret_is_told_in_text() {
    told_to_nobody("text");
}

#[test]
fn no_secret_is_told_in_json() {
    told_to_nobody("json");
}
