//! The fuzz targets of tests/fuzz, driven by the stable compiler alone: fixtures and dialogues, mutated a bounded number of times, the same way in
//! each run. `FUZZ_SECONDS=60 cargo test --test fuzz_smoke` goes on for so long with each target, `FUZZ_SEED=7` takes other ways; tests/fuzz/run
//! lets libFuzzer look for more.

#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

#[path = "fuzz/targets.rs"]
mod targets;

/// Marsaglia's xorshift: enough to choose by.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides.max(1) as u64) as usize
    }
}

/// What parsers stumble over.
const TOKENS: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\0",
    "\t",
    " ",
    ":",
    ";",
    "=",
    "\"",
    "<",
    ">",
    "@",
    "--",
    "--x",
    "=?utf-8?q?",
    "?=",
    "=C3=28",
    "\u{202e}",
    "é",
    "\u{130}",
    "Content-Type: multipart/report; boundary=x",
    "Content-Type: message/delivery-status",
    "Content-Transfer-Encoding: base64",
    "Final-Recipient: rfc822;",
    "Action: delayed",
    "Status: 5.1.1",
    "550-5.1.1 ",
    "550 5.1.1 user unknown",
    "mailbox full",
    "\n.\r\n",
    ".\r\n",
    "BDAT 5 LAST\r\n",
    "DATA\r\n",
    "+",
    "b+-+",
    "alice@example.org",
    "BDAT 5\r\n",
    "\r\n.\r\n",
    "\r\n.\r",
    "\n.\n",
    "[[trigger]]\n",
    "[[[[[[[[",
    "{ a = ",
    "{{ address }}",
    "{% for x in counts %}",
    "regex = '(a{99}){99}'",
    "\u{1b}[2J",
    "99999999999999999999",
    "-1",
];

fn mutate(dice: &mut Dice, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=dice.roll(6) {
        let at = dice.roll(data.len() + 1);
        let reach = 1 << dice.roll(10);
        let to = (at + dice.roll(reach)).min(data.len());
        match dice.roll(7) {
            0 => drop(data.drain(at..to)),
            1 => {
                let piece = data[at..to].to_vec();
                let place = dice.roll(data.len() + 1);
                data.splice(place..place, piece);
            }
            2 => drop(data.splice(at..at, TOKENS[dice.roll(TOKENS.len())].bytes())),
            3 => drop(data.splice(at..to, TOKENS[dice.roll(TOKENS.len())].bytes())),
            4 if at < data.len() => data[at] = dice.roll(256) as u8,
            5 => data.truncate(at),
            _ => {
                let from = dice.roll(other.len() + 1);
                data.splice(at..to, other[from..].iter().copied());
            }
        }
        data.truncate(64 * 1024);
    }
    data
}

fn files(folder: &str, ending: &str) -> Vec<Vec<u8>> {
    fn walk(folder: &Path, ending: &str, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, ending, found);
            } else if path.extension().is_some_and(|end| end == ending) {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), ending, &mut paths);
    paths.sort();
    assert!(paths.len() > 5, "{folder}");
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

fn drive(seeds: &[Vec<u8>], rounds: usize, target: fn(&[u8])) {
    seeds.iter().for_each(|seed| target(seed));
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15 ^ number("FUZZ_SEED").unwrap_or_default());
    let until = number("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut round = 0;
    while until.map_or(round < rounds, |until| Instant::now() < until) {
        let (seed, other) = (&seeds[dice.roll(seeds.len())], &seeds[dice.roll(seeds.len())]);
        let data = mutate(&mut dice, seed, other);
        if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
            let kept = env::temp_dir().join(format!("bounced-fuzz-{round}"));
            fs::write(&kept, &data).unwrap();
            eprintln!("round {round}: the input is kept in {}", kept.display());
            std::panic::resume_unwind(panic);
        }
        round += 1;
    }
    eprintln!("{round} rounds");
}

#[test]
fn messages() {
    drive(&files("tests/fixtures", "eml"), 1500, targets::message);
}

#[test]
fn tellings() {
    let mut seeds = files("tests/fixtures", "eml");
    let facts = ["\x01failure notice", "MAILER-DAEMON@example.org", "", "550 user unknown", "alice@example.org", "550 5.1.1 no", "5.1.1"];
    seeds.push(facts.join("\0").into_bytes());
    drive(&seeds, 300, targets::telling);
}

#[test]
fn dialogues() {
    // The client's lines, behind the size of reads.
    let client = |text: Vec<u8>| {
        let text = String::from_utf8(text).unwrap();
        let lines = text.lines().filter_map(|line| line.strip_prefix("-> ").map(|line| format!("{line}\r\n")));
        format!("\u{7}{}", lines.collect::<String>()).into_bytes()
    };
    let seeds: Vec<Vec<u8>> = files("tests/dialogues", "txt").into_iter().map(client).collect();
    drive(&seeds, 5000, targets::smtp);
}

#[test]
fn frames() {
    // The size of reads, the longest mail, and what a client says.
    let seeds = [
        "\u{7}\u{40}EHLO a\r\nDATA\r\nSubject: x\r\n\r\n..a\r\n.\rb\r\n.\r\nQUIT\r\n",
        "\u{1}\u{10}DATA\r\n.\r\nNOOP\r\nDATA\r\nlonger than the limit allows\r\n\r.\r\n\n.\n\r\n.\r\n",
        "\u{3}\u{20}BDAT 5\r\n\r\n.\r\nBDAT 7 LAST\r\nDATA\r\n.BDAT 0 LAST\r\nRSET\r\n",
        "\u{2}\u{5}BDAT 9 LAST\r\n123456789DATA\r\n\r\n.\r\n",
        "\u{5}\u{9}MAIL FROM:<>\r\nDATA\nx\r\n.\r\n",
    ];
    drive(&seeds.map(|seed| seed.as_bytes().to_vec()), 60_000, targets::framing);
}

#[test]
fn configurations() {
    let mut seeds = files("tests/bad-configs", "toml");
    seeds.extend(["bounced", "three-strikes", "quickstart"].map(|name| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("config/{name}.toml"));
        fs::read(path).unwrap()
    }));
    drive(&seeds, 1000, targets::config);
}

#[test]
fn return_addresses() {
    let seeds =
        ["b+-+x+alice=example.org\nalice@example.org\nspring", "h+-+x+0123456789abcdef\na.b@example.org", "i-7-x\nx@example.org\n-"];
    drive(&seeds.map(|seed| seed.as_bytes().to_vec()), 5000, targets::verp);
}
