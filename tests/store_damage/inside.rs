//! Any damage anywhere, from a seed, and what a store of it says then.

use std::{
    collections::BTreeMap,
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use bounced::{
    ledger::{Field, Hand, HandInput, Input},
    store::{OpenError, Options, Store},
};
use bytes::Bytes;
use jiff::SignedDuration;

use crate::{
    copy,
    store_support::{
        Careless, Clock, files,
        house::{everything, rules},
        key, mail,
    },
    support::random::Random,
};

const DAMAGES: u64 = 100;
const EVENTS: usize = 500;
const PEOPLE: usize = 150;
/// Enough for a log of several of sled's segments, in which hardly a page is new and many are changed.
const MANY: usize = 2_500;
const CHANGES: usize = 6_000;
const LONG_DAMAGES: u64 = 12;

fn options(clock: &Clock) -> Options {
    Options { segment_bytes: 40_000, platter: Arc::new(Careless), ..clock.options() }
}

fn person(n: usize) -> String {
    format!("p{n}@d{}.example.org", n % 3)
}

async fn record(store: &Store, clock: &Clock, events: usize, people: usize) {
    store.set_rules(rules());
    for n in 0..events {
        let mut input = mail(&person(n % people), &n.to_string());
        input.keep_raw = n.is_multiple_of(8);
        store.record(vec![Input::Mail(input)], Bytes::from(vec![b'x'; 400])).await.unwrap();
        if n.is_multiple_of(50) {
            clock.go(SignedDuration::from_mins(17));
            store.tick().await.unwrap();
        }
    }
}

/// What the damage did, for people to read.
fn damage(dir: &Path, names: &[PathBuf], random: &mut Random) -> String {
    // sled's file is where most can go wrong, since the store doesn't read it itself.
    let name = match random.below(2) {
        0 => Path::new("store/db"),
        _ => &names[usize::try_from(random.below(names.len() as u64)).unwrap()],
    };
    let mut bytes = fs::read(dir.join(name)).unwrap();
    let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
    let end = (at + 1 + usize::try_from(random.below(4_096)).unwrap()).min(bytes.len());
    let how = match random.below(8) {
        0 => {
            bytes.truncate(at);
            "cut"
        }
        1 => {
            bytes[at..end].fill(0);
            "zeros"
        }
        2 => {
            bytes[at..end].fill_with(|| u8::try_from(random.below(256)).unwrap());
            "noise"
        }
        _ => {
            bytes[at] ^= 1 << random.below(8);
            "a bit"
        }
    };
    fs::write(dir.join(name), bytes).unwrap();
    format!("{} {how} at {at}", name.display())
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    /// It isn't opened.
    Refused,
    /// It is opened, and what is damaged isn't shown.
    Told,
    /// What was damaged says nothing.
    TheSame,
    Otherwise(String),
}

fn ask(dir: &Path, clock: &Clock, reference: &str) -> Said {
    let asked = catch_unwind(AssertUnwindSafe(|| match Store::open(dir, options(clock)) {
        Err(OpenError::InUse(_) | OpenError::Newer { .. } | OpenError::Older { .. }) => Said::Otherwise("another error".to_owned()),
        Err(_) => Said::Refused,
        Ok(store) => match everything(&store) {
            Err(_) => Said::Told,
            Ok(said) if said == reference => Said::TheSame,
            Ok(said) => {
                let other = said.lines().zip(reference.lines()).find(|(now, before)| now != before);
                Said::Otherwise(format!("{other:?}"))
            }
        },
    }));
    asked.unwrap_or_else(|_| Said::Otherwise("a panic".to_owned()))
}

struct Case {
    clock: Clock,
    random: Random,
    /// What an undamaged store says.
    reference: String,
    seen: BTreeMap<Said, u64>,
}

impl Case {
    fn damaged(&mut self, from: &Path, names: &[PathBuf]) {
        let (what, said) = self.damage(from, names);
        assert!(!matches!(said, Said::Otherwise(_)), "{what}: {said:?}");
        *self.seen.entry(said).or_default() += 1;
    }

    fn damage(&mut self, from: &Path, names: &[PathBuf]) -> (String, Said) {
        let bad = from.with_extension("bad");
        copy(from, &bad);
        let what = damage(&bad, names, &mut self.random);
        let said = tokio::task::block_in_place(|| ask(&bad, &self.clock, &self.reference));
        fs::remove_dir_all(&bad).unwrap();
        (what, said)
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_damage_is_told_or_changes_nothing() {
    let (dir, clock, seed) = (tempfile::tempdir().unwrap(), Clock::new(), number("BOUNCED_SEED", 20_261_123));
    let [closed, reopened] = ["closed", "reopened"].map(|name| dir.path().join(name));
    let store = Store::open(&closed, options(&clock)).unwrap();
    record(&store, &clock, EVENTS, PEOPLE).await;
    let reference = everything(&store).unwrap();
    store.close().unwrap();
    drop(store);
    copy(&closed, &reopened);
    Store::open(&reopened, options(&clock)).unwrap().close().unwrap();
    let mut case = Case { clock, random: Random(seed), reference, seen: BTreeMap::new() };
    for number in 0..number("BOUNCED_DAMAGES", DAMAGES) {
        let from = if number % 2 == 0 { &closed } else { &reopened };
        case.damaged(from, &filled(from));
    }
    eprintln!("BOUNCED_SEED={seed}: {:?}", case.seen);
    assert!(case.seen.contains_key(&Said::Refused) && case.seen.contains_key(&Said::Told));
}

/// sled itself takes damage in the middle of its log for the end of a piece, and opens with older rows: a closed store is looked through first.
#[tokio::test(flavor = "multi_thread")]
async fn damage_in_a_long_log_is_told_too() {
    let (dir, clock, seed) = (tempfile::tempdir().unwrap(), Clock::new(), number("BOUNCED_SEED", 20_261_123));
    let [path, sound] = ["long", "sound"].map(|name| dir.path().join(name));
    let store = Store::open(&path, options(&clock)).unwrap();
    record(&store, &clock, MANY, MANY).await;
    store.close().unwrap();
    drop(store);
    let store = Store::open(&path, options(&clock)).unwrap();
    for n in 0..CHANGES {
        store.record(vec![change(n)], Bytes::new()).await.unwrap();
    }
    store.close().unwrap();
    drop(store);
    copy(&path, &sound);
    let reference = everything(&Store::open(&sound, options(&clock)).unwrap()).unwrap();
    let mut case = Case { clock, random: Random(seed), reference, seen: BTreeMap::new() };
    let damages = number("BOUNCED_DAMAGES", LONG_DAMAGES);
    for _ in 0..damages {
        case.damaged(&path, &["store/db".into()]);
    }
    eprintln!("BOUNCED_SEED={seed}, a log of {} octets: {:?}", fs::metadata(path.join("store/db")).unwrap().len(), case.seen);
    assert!(case.seen.contains_key(&Said::Refused));
}

fn change(n: usize) -> Input {
    let address = person(n * 7_919 % MANY);
    let fields = BTreeMap::from([("change".to_owned(), Field::Text(format!("{n:0200}")))]);
    Input::Hand(HandInput { person: Some(key(&address)), act: Hand::Set { address: Some(address), fields } })
}

/// The files of a store that hold anything.
fn filled(dir: &Path) -> Vec<PathBuf> {
    files(dir).into_iter().filter(|name| fs::metadata(dir.join(name)).unwrap().len() > 0).collect()
}
