//! Mails made to cost: endless lines, fields, parts, nesting, encodings within encodings, characters that swell. Whatever they are, they are read in
//! time and memory that grow with their size alone, told as what they are, and recorded; the daemon goes on.

use std::{thread, time::Duration};

use bounced::{
    classify::{Envelope, tell},
    config::Config,
    message,
    taxonomy::Status,
};
use data_encoding::BASE64;

use crate::{
    overload::today,
    process::{cpu, kib, my_cpu},
    support::{
        client::Client,
        daemon::{Daemon, Setup},
    },
};

/// A head, and a unit so many times.
struct Bomb {
    name: &'static str,
    head: String,
    unit: String,
    times: usize,
    status: Status,
}

impl Bomb {
    /// A `part`th of it.
    fn mail(&self, part: usize) -> Vec<u8> {
        format!("{}{}\r\n", self.head, self.unit.repeat(self.times / part)).into_bytes()
    }
}

const FULL: usize = 10_000_000;

/// All of about ten megabytes, but those whose number is what matters.
fn bombs() -> Vec<Bomb> {
    let bomb = |name, head: &str, unit: &str| Bomb {
        name,
        head: head.to_owned(),
        unit: unit.to_owned(),
        times: FULL / unit.len(),
        status: Status::Undetermined,
    };
    let many = |name, times, head: &str, unit: &str| Bomb { times, ..bomb(name, head, unit) };
    let text = |charset: &str, encoding: &str| {
        format!("MIME-Version: 1.0\r\nContent-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n")
    };
    let report = |status: &str| {
        format!(
            "From: MAILER-DAEMON@mx.sender.test\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\
             Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.sender.test\r\n\r\n{status}"
        )
    };
    let block = "Final-Recipient: rfc822; bob@example.org\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n";
    let words = BASE64.encode("550 user unknown \r\n".repeat(3).as_bytes()) + "\r\n";
    let (hard, causeless) = (Status::HardBounce, Status::GeneralBounce);
    vec![
        bomb("a line of a header", "Subject: ", "x"),
        bomb("a line of a body", "Subject: x\r\n\r\n", "x"),
        many("200,000 fields", 200_000, "", "X-Field: v\r\n"),
        many("200,000 Subjects", 200_000, "", "Subject: =?utf-8?q?a?=\r\n"),
        bomb("a folded field", "Subject: x\r\n", " y\r\n"),
        bomb("addresses", "To: ", "a@example.org,\r\n "),
        bomb("comments within comments", "From: ", "("),
        bomb("encoded words", "Subject: x\r\n", " =?utf-8?q?=C3=A4?=\r\n"),
        bomb("parameters", "Content-Type: text/plain", ";\r\n a*0*=utf-8''x"),
        many("100,000 messages within messages", 100_000, "", "Content-Type: message/rfc822\r\n\r\n"),
        many("1,000,000 parts", 1_000_000, "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\n"),
        bomb("parts with headers", "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n"),
        bomb(
            "parts that open parts",
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n",
            "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
        ),
        bomb("all but boundaries", "Content-Type: multipart/mixed; boundary=bbbbbbbbbb\r\n\r\n", "--bbbbbbbbb\r\n"),
        Bomb { status: hard, ..bomb("base64", &text("utf-8", "base64"), &words) },
        bomb("base64 that is none", &text("utf-8", "base64"), "=\r\n"),
        Bomb { head: matryoshka(), times: 1, ..bomb("base64 within base64", "", "\r\n") },
        bomb("soft line breaks", &text("utf-8", "quoted-printable"), "=\r\n"),
        bomb("UTF-7", &text("utf-7", "8bit"), "+2D3YPQ-"),
        bomb("escapes of ISO-2022-JP", &text("iso-2022-jp", "7bit"), "\u{1b}$B!!\u{1b}(B"),
        bomb("UTF-16", &text("utf-16", "8bit"), "\u{fffd}"),
        bomb("GB 18030", &text("gb18030", "8bit"), "\u{81}0"),
        bomb("a charset nobody knows", &text(&"x".repeat(100_000), "8bit"), "\u{e4}"),
        bomb("tags", "Content-Type: text/html\r\n\r\n", "<blockquote>"),
        bomb("entities", "Content-Type: text/html\r\n\r\n", "&#x41;&amp"),
        Bomb { status: hard, ..bomb("recipients", &report(""), block) },
        Bomb { status: hard, ..bomb("a diagnostic", &report(&block.replace("\r\n\r\n", "\r\nDiagnostic-Code: smtp;\r\n")), " 550 no\r\n") },
        Bomb { status: hard, ..bomb("phrases", "From: MAILER-DAEMON@example.org\r\n\r\n", "550 5.1.1 user unknown\r\n") },
        Bomb { status: causeless, ..bomb("quotes", "From: MAILER-DAEMON@example.org\r\n\r\n", "> \r\nOn Monday, Bob wrote:\r\n") },
        Bomb { status: causeless, ..bomb("short lines", "From: MAILER-DAEMON@example.org\r\n\r\n", "x\r\n") },
        bomb("dots", "Subject: x\r\n\r\n", ".\r\n"),
        bomb("nothing", "Subject: x\r\n\r\n", "\r\n"),
    ]
}

/// A message in base64 in a message in base64, as deep as ten megabytes let it be.
fn matryoshka() -> String {
    let mut mail = "Subject: within\r\n\r\nx\r\n".to_owned();
    loop {
        let encoded = BASE64.encode(mail.as_bytes());
        let lines: Vec<&str> = encoded.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let next = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n", lines.join("\r\n"));
        if next.len() > FULL {
            return mail;
        }
        mail = next;
    }
}

/// Read and told on a stack as small as a thread may have; gives the status and the processor time.
fn told(mail: Vec<u8>) -> (Status, Duration) {
    let work = move || {
        let begun = my_cpu();
        let report = message::read(&mail);
        assert!(report.prose.len() <= 64 * 1024 && report.recipients.len() <= 100);
        let envelope = Envelope { reverse_path: Some(""), verp_address: Some("alice@example.org") };
        let telling = tell(&report, &envelope);
        assert_eq!(telling.verdicts.len(), 1);
        (telling.verdicts[0].status, my_cpu().saturating_sub(begun))
    };
    thread::Builder::new().stack_size(1 << 20).spawn(work).unwrap().join().expect("no overflow, no panic")
}

/// Four times the size takes about four times the time; were anything looked at once for each of its like, it would be sixteen.
#[test]
fn time_grows_with_size_alone() {
    told(b"Subject: the tables are built\r\n\r\n".to_vec());
    let mut wrong = Vec::new();
    for bomb in bombs() {
        let part = bomb.mail(1).len() / 500_000;
        let part = part.max(1) * if cfg!(debug_assertions) { 4 } else { 1 };
        let ((status, whole), (_, quarter)) = (told(bomb.mail(part)), told(bomb.mail(part * 4)));
        // Below that a tick of the clock is too much of it.
        let grows = whole > Duration::from_millis(40) && whole > quarter * 10;
        if status != bomb.status || grows {
            wrong.push(format!("{}: {status:?}, {quarter:?} grew to {whole:?}", bomb.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn start() -> Daemon {
    Setup::new("smtp://127.0.0.1:9").with("[smtp]\nmax_message_bytes = '10 MiB'").start()
}

#[test]
fn by_smtp_each_is_recorded_as_what_it_is() {
    let daemon = start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    let before = kib(daemon.pid(), "VmHWM");
    let bombs = bombs();
    for (number, bomb) in bombs.iter().enumerate() {
        let numbered = bomb.times < FULL / bomb.unit.len();
        let mail = bomb.mail(if numbered || !cfg!(debug_assertions) { 1 } else { 16 });
        let rcpt = codec.encode(&format!("person{number}@example.org"), None, None, today()).unwrap();
        // Each in a dialogue of its own, so that one that ended badly is seen at the next.
        let mut client = Client::connect(daemon.smtp());
        let reply = client.try_send("", &[&rcpt], &mail).unwrap_or_else(|error| panic!("{}: {error}", bomb.name));
        assert_eq!(reply.code, 250, "{}: {reply:?}", bomb.name);
    }
    let events = daemon.events();
    let told: Vec<(&str, &str)> =
        bombs.iter().zip(events.iter().rev()).map(|(bomb, event)| (bomb.name, event["status"].as_str().unwrap())).collect();
    assert_eq!(told, bombs.iter().map(|bomb| (bomb.name, bomb.status.id())).collect::<Vec<_>>());
    let grown = kib(daemon.pid(), "VmHWM") - before;
    assert!(grown < 96 * 1024, "{grown} KiB for mails of ten megabytes");
}

/// What is beyond the limits of a dialogue is read, dropped, and answered.
#[test]
fn more_than_is_taken() {
    let daemon = start();
    let rcpt = daemon.verp("alice@example.org", None);
    let megabyte = vec![b'x'; 1 << 20];
    let mut client = Client::connect(daemon.smtp());
    // The tables are compiled at the first mail.
    client.bounce(&daemon.verp("bob@example.org", None), b"Subject: hello\r\n\r\nhello\r\n");
    let before = kib(daemon.pid(), "VmHWM");
    let envelope = |client: &mut Client, size: &str| {
        let reply = client.command(&format!("MAIL FROM:<>{size}"));
        if reply.code == 250 {
            client.command(&format!("RCPT TO:<{rcpt}>")).expect("250");
        }
        reply
    };

    (0..10).for_each(|_| client.write(&megabyte).unwrap());
    client.command("").expect("500 5.5.2 line too long");
    client.command("NOOP").expect("250");

    // A hundred megabytes of header.
    envelope(&mut client, "");
    client.command("DATA").expect("354");
    let fields = b"X-Field: a field that is like the one before it\r\n".repeat(20_000);
    (0..100).for_each(|_| client.write(&fields).unwrap());
    client.command("\r\n.").expect("552 5.3.4");
    client.command("NOOP").expect("250");

    // SIZE says too little, too much, more than can be counted, nothing at all, and twice.
    for (size, expected) in [
        (" SIZE=1", "250"),
        (" SIZE=0", "250"),
        (" SIZE=10485761", "552 5.3.4"),
        (" SIZE=18446744073709551615", "552 5.3.4"),
        (" SIZE=18446744073709551616", "552 5.3.4"),
        (" SIZE=99999999999999999999999999", "501"),
        (" SIZE=-1", "501"),
        (" SIZE=", "501"),
        (" SIZE=1 SIZE=20000000", "5"),
    ] {
        let reply = envelope(&mut client, size);
        assert!(reply.first().starts_with(expected), "{size}: {reply:?}");
        client.command("RSET").expect("250");
    }
    for (content, expected) in [(3_usize, "250"), (11, "552 5.3.4")] {
        envelope(&mut client, " SIZE=1");
        client.command("DATA").expect("354");
        (0..content).for_each(|_| client.write(&megabyte).unwrap());
        client.command("\r\n.").expect(expected);
        envelope(&mut client, " SIZE=1");
        client.write(format!("BDAT {} LAST\r\n", content << 20).as_bytes()).unwrap();
        (0..content).for_each(|_| client.write(&megabyte).unwrap());
        client.reply().unwrap().expect(expected);
    }
    // Chunks that together are more, each by itself less.
    envelope(&mut client, "");
    for chunk in 0..11 {
        client.write(format!("BDAT {}{}\r\n", 1 << 20, if chunk == 10 { " LAST" } else { "" }).as_bytes()).unwrap();
        client.write(&megabyte).unwrap();
        client.reply().unwrap().expect(if chunk < 10 { "250" } else { "552 5.3.4" });
    }
    // A chunk that never ends: who said so must send it, and isn't listened to meanwhile.
    envelope(&mut client, "");
    client.write(b"BDAT 18446744073709551615 LAST\r\nRSET\r\nQUIT\r\n").unwrap();
    drop(client);
    let grown = kib(daemon.pid(), "VmHWM") - before;
    assert!(grown < 40 * 1024, "{grown} KiB");
    // By DATA and by BDAT it was the same mail.
    assert_eq!(daemon.events().len(), 2);
}

#[test]
#[ignore = "measures"]
fn figures_of_bombs() {
    told(b"Subject: the tables are built\r\n\r\n".to_vec());
    let daemon = start();
    let codec = Config::load(&daemon.setup.config_path()).unwrap().verp.codec;
    println!("{:>34} {:>10} {:>12} {:>12}  status", "", "octets", "told, ms", "daemon, ms");
    for (number, bomb) in bombs().iter().enumerate() {
        let mail = bomb.mail(1);
        let rcpt = codec.encode(&format!("person{number}@example.org"), None, None, today()).unwrap();
        let mut client = Client::connect(daemon.smtp());
        let begun = cpu(daemon.pid());
        client.bounce(&rcpt, &mail);
        // Threads that end meanwhile take their time with them; none does within seconds.
        let whole = cpu(daemon.pid()).saturating_sub(begun);
        let size = mail.len();
        let (status, alone) = told(mail);
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        println!("{:>34} {size:>10} {:>12.1} {:>12.1}  {}", bomb.name, ms(alone), ms(whole), status.id());
    }
    println!("memory, KiB: {} at most", kib(daemon.pid(), "VmHWM"));
}
