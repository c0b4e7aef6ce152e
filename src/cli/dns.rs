//! Whether the MX of our domains points here, as the resolvers in /etc/resolv.conf see it.
//!
//! Every finding is a line; what is wrong says which record mends it. A resolver that doesn't answer is an error too, after its own timeout.

use std::{
    net::{IpAddr, UdpSocket},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData},
    },
};

use crate::config::Config;

const TIMEOUT: Duration = Duration::from_secs(5);

/// What was found: good news or an error, a line each.
pub type Finding = Result<String, String>;

/// Asks for the MX of each of `smtp.domains` and for the addresses of `hostname`.
pub fn look(config: &Config) -> Vec<Finding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(ask(config)),
        Err(error) => vec![Err(format!("no DNS lookup: {error}"))],
    }
}

async fn ask(config: &Config) -> Vec<Finding> {
    let built = TokioResolver::builder_tokio().and_then(|mut builder| {
        builder.options_mut().timeout = TIMEOUT;
        builder.build()
    });
    match built {
        Ok(resolver) => findings(&resolver, &config.smtp.domains, &config.hostname).await,
        Err(error) => vec![Err(format!("no DNS lookup: {error}; look at /etc/resolv.conf"))],
    }
}

async fn findings(resolver: &TokioResolver, domains: &[String], hostname: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for domain in domains {
        findings.push(judge_mx(domain, hostname, exchanges(resolver, domain).await));
    }
    findings.push(judge_host(hostname, addresses(resolver, hostname).await, is_here));
    findings
}

/// The names of a domain's MX, the preferred first; none where there is no record.
async fn exchanges(resolver: &TokioResolver, domain: &str) -> Result<Vec<String>, String> {
    match resolver.mx_lookup(absolute(domain)?).await {
        Ok(found) => {
            let mut records: Vec<(u16, String)> = found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::MX(mx) => Some((mx.preference, mx.exchange.to_utf8())),
                    _ => None,
                })
                .collect();
            records.sort();
            Ok(records.into_iter().map(|(_, name)| name.trim_end_matches('.').to_lowercase()).collect())
        }
        Err(error) => none_or(error),
    }
}

async fn addresses(resolver: &TokioResolver, host: &str) -> Result<Vec<IpAddr>, String> {
    match resolver.lookup_ip(absolute(host)?).await {
        Ok(found) => Ok(found.iter().collect()),
        Err(error) => none_or(error),
    }
}

/// No search list is tried.
fn absolute(name: &str) -> Result<Name, String> {
    Name::from_utf8(format!("{name}.")).map_err(|error| error.to_string())
}

fn none_or<T>(error: NetError) -> Result<Vec<T>, String> {
    match &error {
        NetError::Dns(DnsError::NoRecordsFound(none)) if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) => {
            Ok(Vec::new())
        }
        _ => Err(error.to_string()),
    }
}

fn judge_mx(domain: &str, hostname: &str, found: Result<Vec<String>, String>) -> Finding {
    let names = found.map_err(|error| format!("{domain}: its MX can't be looked up: {error}"))?;
    if names.iter().any(|name| name == hostname) {
        return Ok(format!("{domain}: its MX is {}", names.join(", ")));
    }
    let mend = format!("set the record: {domain}. IN MX 10 {hostname}.");
    if names.is_empty() {
        return Err(format!("{domain}: it has no MX; {mend}"));
    }
    // RFC 7505: a null MX takes no mail.
    let names: Vec<&str> = names.iter().map(|name| if name.is_empty() { "none (a null MX)" } else { name }).collect();
    Err(format!("{domain}: its MX is {}, not {hostname}; {mend}", names.join(", ")))
}

fn judge_host(hostname: &str, found: Result<Vec<IpAddr>, String>, is_here: impl Fn(IpAddr) -> bool) -> Finding {
    let addresses = found.map_err(|error| format!("{hostname}: its addresses can't be looked up: {error}"))?;
    if addresses.is_empty() {
        return Err(format!("{hostname}: it has no address; set an A or AAAA record with this machine's address"));
    }
    let shown = addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    match addresses.iter().any(|address| is_here(*address)) {
        true => Ok(format!("{hostname}: its address is {shown}, this machine")),
        false => Ok(format!("{hostname}: its address is {shown}, none of this machine's own: right only where that is forwarded to it")),
    }
}

/// Only an address of this machine can be bound.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use hickory_resolver::{
        config::{NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
        proto::{
            op::Message,
            rr::{
                RecordType,
                rdata::{A, MX},
            },
        },
    };

    use super::*;

    /// Answers four names, each in its way, until the socket is dropped.
    async fn serve(socket: tokio::net::UdpSocket) {
        let mut buffer = [0; 1500];
        while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
            let request = Message::from_vec(&buffer[..length]).unwrap();
            let query = request.queries[0].clone();
            let name = |text: &str| Name::from_utf8(text).unwrap();
            let mut reply = Message::response(request.metadata.id, request.metadata.op_code);
            reply.metadata.recursion_available = true;
            reply.add_query(query.clone());
            let answers = match (query.name().to_utf8().as_str(), query.query_type()) {
                ("good.test.", RecordType::MX) => {
                    vec![RData::MX(MX::new(20, name("other.test."))), RData::MX(MX::new(10, name("MX.Good.test.")))]
                }
                ("null.test.", RecordType::MX) => vec![RData::MX(MX::new(0, Name::root()))],
                ("mx.good.test.", RecordType::A) => vec![RData::A(A::new(127, 0, 0, 1))],
                ("broken.test.", _) => {
                    reply.metadata.response_code = ResponseCode::ServFail;
                    vec![]
                }
                ("mx.good.test.", _) => vec![],
                _ => {
                    reply.metadata.response_code = ResponseCode::NXDomain;
                    vec![]
                }
            };
            reply.add_answers(
                answers.into_iter().map(|data| hickory_resolver::proto::rr::Record::from_rdata(query.name().clone(), 60, data)),
            );
            socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_a_name_server_says() {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut server = NameServerConfig::udp("127.0.0.1".parse().unwrap());
        server.connections[0].port = socket.local_addr().unwrap().port();
        tokio::spawn(serve(socket));
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap();
        let domains = ["good.test", "null.test", "absent.test", "broken.test"].map(str::to_owned);
        let found = findings(&resolver, &domains, "mx.good.test").await;
        assert_eq!(found[0], Ok("good.test: its MX is mx.good.test, other.test".into()));
        assert!(found[1].as_ref().unwrap_err().contains("a null MX"), "{found:?}");
        assert!(found[2].as_ref().unwrap_err().contains("it has no MX"), "{found:?}");
        assert!(found[3].as_ref().unwrap_err().contains("can't be looked up"), "{found:?}");
        assert_eq!(found[4], Ok("mx.good.test: its address is 127.0.0.1, this machine".into()));
    }

    #[test]
    fn an_mx_that_is_ours_is_good() {
        let found = Ok(vec!["mx1.example.com".into(), "mx.returns.test".into()]);
        assert!(judge_mx("returns.test", "mx.returns.test", found).is_ok());
    }

    #[test]
    fn every_other_mx_says_the_record_that_mends_it() {
        for found in [vec![], vec!["mx.example.com".to_owned()], vec![String::new()]] {
            let error = judge_mx("returns.test", "mx.returns.test", Ok(found)).unwrap_err();
            assert!(error.ends_with("set the record: returns.test. IN MX 10 mx.returns.test."), "{error}");
        }
        assert!(judge_mx("returns.test", "mx.returns.test", Err("timed out".into())).unwrap_err().contains("timed out"));
    }

    #[test]
    fn the_host_must_have_an_address() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        assert!(judge_host("mx", Ok(vec![]), |_| true).is_err());
        assert!(judge_host("mx", Err("timed out".into()), |_| true).is_err());
        assert!(judge_host("mx", Ok(vec![address]), |_| true).unwrap().ends_with("this machine"));
        assert!(judge_host("mx", Ok(vec![address]), |_| false).unwrap().contains("forwarded"));
        assert!(is_here("127.0.0.1".parse().unwrap()) && !is_here(address));
    }
}
