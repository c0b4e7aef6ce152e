//! The disk fills up, by the store and by others: below the reserve senders are put off before DATA and the operator is told; past it the daemon
//! ends with exit code 1 and says why. Nothing that got 250 is lost, nothing is double, and it goes on when there is room.
//!
//! The store lies on an ext4 of its own; where none can be mounted the test says so and passes (see support/filesystem.rs). BOUNCED_BINARY says
//! which build.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::PathBuf,
};

use support::{
    await_mail, await_some,
    client::Client,
    daemon::{Daemon, Setup, binary},
    filesystem::Mounted,
    mail_catcher::MailCatcher,
    senders::{Senders, codec, lost_and_double},
};
use tempfile::TempDir;

/// The journal and what it is written to take some 100 of them at most, whatever streams in.
const MEBIBYTES: u64 = 192;
const RESERVE: u64 = 16 << 20;
const CLIENTS: u64 = 8;

struct House {
    daemon: Daemon,
    mail: MailCatcher,
    data: PathBuf,
    /// After the daemon: it must be gone when this is unmounted.
    _disk: Mounted,
    _dir: TempDir,
}

/// `None` where nothing can be mounted.
fn house() -> Option<House> {
    let dir = TempDir::with_prefix("bounced-full-").unwrap();
    let data = dir.path().join("data");
    let disk = Mounted::new(&dir.path().join("image"), &data, MEBIBYTES)?;
    let mail = MailCatcher::start();
    let setup = Setup::new(&mail.url()).with(&format!(
        r#"
        data_dir = "{}"
        min_free = "{RESERVE} B"
        [[trigger]]
        name = "third"
        when = "hard-bounce"
        count = "exactly 3"
        do = [{{ tag = "third" }}]
        [guard]
        hard_bounces_per_domain = "never"
        "#,
        data.display()
    ));
    let mut daemon = setup.asleep();
    daemon.binary = binary();
    Some(House { daemon, mail, data, _disk: disk, _dir: dir })
}

impl House {
    fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.data).unwrap();
        disk.f_bavail * disk.f_frsize
    }

    fn filler(&self) -> PathBuf {
        self.data.join("somebody-elses")
    }

    /// Somebody else writes until no more than so many octets are left.
    fn fill(&self, left: u64) {
        let mut file = File::options().create(true).append(true).open(self.filler()).unwrap();
        let mut chunk = 1 << 20;
        while self.free() > left && chunk > 0 {
            let more = usize::try_from((self.free() - left).min(chunk)).unwrap();
            match file.write_all(&vec![b'x'; more]).and_then(|()| file.sync_data()) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => chunk /= 2,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// All mails that got 250, each once; the trigger once for each who crossed.
    fn whole(&self, senders: &Senders) {
        let (events, sent) = (self.daemon.events(), senders.acknowledged());
        let (lost, double) = lost_and_double(&events, &sent);
        assert!(lost.is_empty() && double.is_empty(), "of {}: lost {lost:?}, double {double:?}", sent.len());
        assert_eq!(self.daemon.count("status", "hard-bounce"), events.len() as u64);
        let third = events.iter().filter(|event| event["fired"] == serde_json::json!(["third"])).count();
        let people: std::collections::BTreeSet<String> = sent.iter().map(|serial| senders.person(*serial)).collect();
        let crossed = people.iter().filter(|person| sent.iter().filter(|serial| senders.person(**serial) == **person).count() > 2);
        assert_eq!(third, crossed.count());
    }
}

#[test]
fn below_the_reserve_senders_are_put_off() {
    let Some(mut house) = house() else { return };
    house.fill(RESERVE / 2);
    house.daemon.start();
    let mut client = Client::connect(house.daemon.smtp());
    client.command("MAIL FROM:<>").expect("452 4.3.1");
    client.command("RCPT TO:<postmaster@returns.test>").expect("503");
    client.command("DATA").expect("503");
    let alert = await_mail(&house.mail, |mail| mail.text().contains("min_free"));
    assert_eq!(alert.to, ["ops@example.com"]);
    house.make_room();
    let senders = Senders::new(4);
    senders.during(CLIENTS, &house.daemon, || {
        senders.await_more(50);
        for _ in 0..2 {
            house.fill(RESERVE / 2);
            let before = senders.put_off();
            await_some("452", || (senders.put_off() > before + CLIENTS).then_some(()));
            // Everybody is put off: nothing comes in any more.
            let then = senders.count();
            let more = senders.put_off() + 2 * CLIENTS;
            await_some("452", || (senders.put_off() > more).then_some(()));
            assert_eq!(senders.count(), then);
            // Who reads the store still can.
            assert!(house.daemon.count("status", "hard-bounce") >= then);
            house.make_room();
            senders.await_more(50);
        }
    });
    eprintln!("{} acknowledged, {} times 452, {} attempts without a reply", senders.count(), senders.put_off(), senders.torn());
    assert_eq!(senders.torn(), 0, "what is in DATA has room");
    house.whole(&senders);
    assert!(house.daemon.stop().success());
}

/// Room is left for so many octets: the segments or sled's file may be the first to meet the end.
const LEFT: [u64; 4] = [0, 4 << 10, 12 << 10, 40 << 10];

#[test]
fn past_the_reserve_it_ends_and_starts_again_whole() {
    let Some(mut house) = house() else { return };
    house.daemon.start();
    let (senders, smtp, codec) = (Senders::new(4), house.daemon.smtp(), codec(&house.daemon));
    let ended = senders.at(CLIENTS, smtp, codec, || LEFT.into_iter().filter(|left| ends(&mut house, &senders, *left)).count());
    let log = house.daemon.log();
    eprintln!("{} acknowledged, {} attempts without a 250, ended {ended} times:\n{}", senders.count(), senders.torn(), complaints(&log));
    assert!(ended > 0, "the daemon never met the end of the disk");
    assert!(log.contains("No space left on device"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    house.whole(&senders);
    assert!(house.daemon.stop().success());
}

/// Somebody else takes all of the room at once, faster than the daemon looks, and gives it back later. Whether the daemon ended of it: what was
/// left may have been enough until it looked.
fn ends(house: &mut House, senders: &Senders, left: u64) -> bool {
    senders.await_more(50);
    let before = senders.put_off();
    house.fill(left);
    let ended = await_some("the daemon to end, or 452", || match house.daemon.ended() {
        Some(status) => Some(Some(status)),
        None => (senders.put_off() > before).then_some(None),
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(1), "{status}");
        let then = senders.count();
        // The service manager starts it again and again.
        for _ in 0..2 {
            house.fill(0);
            let before = senders.put_off();
            let mut child = house.daemon.spawn();
            let status = await_some("the daemon to end by itself, or 452", || match child.try_wait().unwrap() {
                Some(status) => Some(Some(status)),
                None => (senders.put_off() > before).then_some(None),
            });
            match status {
                Some(status) => assert_eq!(status.code(), Some(1), "{}", house.daemon.log()),
                None => child.kill().and_then(|()| child.wait().map(drop)).unwrap(),
            }
            assert_eq!(senders.count(), then);
        }
    }
    house.make_room();
    if ended.is_some() {
        house.daemon.start();
    }
    senders.await_more(50);
    ended.is_some()
}

/// The log without what goes well and what each mail says.
fn complaints(log: &str) -> String {
    let lines = log.lines().filter(|line| !line.contains(" INFO ") && !line.contains("a mail could not be recorded"));
    lines.collect::<Vec<_>>().join("\n")
}
