//! The recipients' server: takes a mail or refuses it as its table says, by the local part of the recipient.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use super::{PATIENCE, ports};

/// What happens to a recipient.
#[derive(Debug, Clone)]
pub enum Fate {
    /// The answer to RCPT, code and all.
    AtRcpt(&'static str),
    /// RCPT is taken, this answers the end of the mail.
    AtEnd(&'static str),
}

pub struct Refuser {
    pub address: SocketAddr,
    /// Recipients whose mail was taken.
    pub taken: Arc<Mutex<Vec<String>>>,
}

impl Refuser {
    /// Serves until the test ends. Who isn't in the table is taken.
    pub fn start(table: &[(&'static str, Fate)]) -> Refuser {
        let address = ports::free();
        let listener = TcpListener::bind(address).unwrap();
        let table: Arc<BTreeMap<&'static str, Fate>> = Arc::new(table.iter().cloned().collect());
        let taken = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (table, taken) = (Arc::clone(&table), Arc::clone(&all));
                // A client that hangs up is its own business.
                thread::spawn(move || serve(stream, &table, &taken).unwrap_or_default());
            }
        });
        Refuser { address, taken }
    }
}

fn serve(stream: TcpStream, table: &BTreeMap<&'static str, Fate>, taken: &Mutex<Vec<String>>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut out = stream.try_clone()?;
    let mut lines = BufReader::new(stream);
    let mut rcpts: Vec<String> = Vec::new();
    out.write_all(b"220 mx.fail.test ESMTP\r\n")?;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 {
        let upper = line.to_ascii_uppercase();
        let reply = match upper.get(..4).unwrap_or_default() {
            "EHLO" => "250-mx.fail.test\r\n250-SIZE 10000000\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES".to_owned(),
            "MAIL" | "RSET" => {
                rcpts.clear();
                "250 2.1.0 Ok".to_owned()
            }
            "RCPT" => match line.split(['<', '>']).nth(1).and_then(|rcpt| rcpt.split_once('@').map(|(local, _)| (rcpt, local))) {
                Some((rcpt, local)) => match table.get(local) {
                    Some(Fate::AtRcpt(refusal)) => refusal.replace("<recipient>", &format!("<{rcpt}>")),
                    _ => {
                        rcpts.push(rcpt.to_owned());
                        "250 2.1.5 Ok".to_owned()
                    }
                },
                None => "501 5.1.3 Bad recipient".to_owned(),
            },
            "DATA" if rcpts.is_empty() => "554 5.5.1 No valid recipients".to_owned(),
            "DATA" => {
                out.write_all(b"354 Go on\r\n")?;
                loop {
                    line.clear();
                    if lines.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                }
                let fate = rcpts.iter().find_map(|rcpt| table.get(rcpt.split('@').next().unwrap_or_default()));
                match fate {
                    Some(Fate::AtEnd(refusal)) => (*refusal).to_owned(),
                    _ => {
                        taken.lock().unwrap().append(&mut rcpts);
                        "250 2.0.0 Ok".to_owned()
                    }
                }
            }
            "QUIT" => {
                return out.write_all(b"221 2.0.0 Bye\r\n");
            }
            "HELO" | "NOOP" => "250 2.0.0 Ok".to_owned(),
            _ => "502 5.5.2 Not here".to_owned(),
        };
        out.write_all(format!("{reply}\r\n").as_bytes())?;
        line.clear();
    }
    Ok(())
}
