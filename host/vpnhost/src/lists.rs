//! Revocation lists that are fetched by HTTP: within a bound of time and octets, and again from time to time.
//!
//! One that cannot be fetched keeps what was there, and so does one that is older or that nobody known signed
//! ([`vpnhost_pki::renew`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::timeout;
use vpnhost_crypto::CryptoBackend;
use vpnhost_pki::{Certificate, Crl};

use crate::config::Configuration;
use crate::exit;
use crate::limits;

/// The lists by where they come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    by_url: BTreeMap<String, Fetched>,
    /// Whether the host does not know them all yet.
    pub(crate) is_news: bool,
}

#[derive(Clone, Debug)]
struct Fetched {
    crls: Vec<Crl>,
    /// When it is fetched again.
    due: Instant,
    /// When it was fetched last.
    at: Option<Instant>,
    /// Why the last try failed.
    error: Option<String>,
}

impl Lists {
    /// Fetches what is due of the configuration's lists, all at once.
    pub(crate) async fn fetch(&mut self, configuration: &Configuration, crypto: &dyn CryptoBackend) {
        let connections = &configuration.connections;
        let urls: BTreeSet<&String> = connections.iter().flat_map(|it| &it.crl_urls).collect();
        let before = self.by_url.len();
        self.by_url.retain(|url, _| urls.contains(url));
        self.is_news |= self.by_url.len() < before;
        let now = Instant::now();
        let due = |url: &&String| self.by_url.get(*url).is_none_or(|fetched| fetched.due <= now);
        let mut fetches = JoinSet::new();
        for url in urls.into_iter().filter(due).cloned() {
            fetches.spawn(async move {
                let of_thread = url.clone();
                // It blocks: a thread of its own, which nobody waits for longer than this.
                let fetching = tokio::task::spawn_blocking(move || get(&of_thread, limits::FETCH));
                let fetched = match timeout(limits::FETCH, fetching).await {
                    Ok(Ok(fetched)) => fetched,
                    Ok(Err(_)) => Err("fetching it failed".to_owned()),
                    Err(_) => Err(late()),
                };
                (url, fetched)
            });
        }
        while let Some(fetched) = fetches.join_next().await {
            if let Ok((url, fetched)) = fetched {
                let of_url = connections.iter().filter(|it| it.crl_urls.contains(&url));
                let authorities: Vec<Certificate> = of_url.flat_map(|it| it.authorities()).cloned().collect();
                self.learn(url, fetched, |there, new| vpnhost_pki::renew(crypto, &authorities, there, new));
            }
        }
    }

    fn learn(
        &mut self,
        url: String,
        fetched: Result<Vec<Crl>, String>,
        renew: impl Fn(&[Crl], Vec<Crl>) -> Vec<Crl>,
    ) {
        let now = Instant::now();
        let known = self.by_url.entry(url.clone()).or_insert(Fetched {
            crls: Vec::new(),
            due: now,
            at: None,
            error: None,
        });
        match fetched {
            Ok(crls) => {
                (known.due, known.at, known.error) = (now + limits::FETCH_AGAIN, Some(now), None);
                let crls = renew(&known.crls, crls);
                self.is_news |= known.crls != crls;
                known.crls = crls;
            }
            Err(why) => {
                tracing::warn!(
                    url,
                    why = why.as_str(),
                    "a revocation list cannot be fetched; what was there last is used"
                );
                known.due = now + limits::FETCH_FAILED_AGAIN;
                known.error = Some(why);
            }
        }
    }

    /// Returns what a URL led to, how long ago, and why the last try failed.
    pub(crate) fn of(&self, url: &str) -> (&[Crl], Option<Duration>, Option<&str>) {
        let Some(fetched) = self.by_url.get(url) else { return (&[], None, None) };
        (&fetched.crls, fetched.at.map(|at| at.elapsed()), fetched.error.as_deref())
    }

    /// Returns all of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Crl> {
        self.by_url.values().flat_map(|fetched| &fetched.crls)
    }
}

fn late() -> String {
    format!("no answer within {} s", limits::FETCH.as_secs())
}

/// Fetches a list: HTTP/1.0, whose answer ends with the connection.
fn get(url: &str, within: Duration) -> Result<Vec<Crl>, String> {
    let deadline = Instant::now() + within;
    let rest = url.strip_prefix("http://").ok_or("it is no http:// URL")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let sane = |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic());
    if authority.is_empty() || !sane(rest) {
        return Err("the URL names no host".to_owned());
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let target = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let failed = |error: std::io::Error| exit::plain(&error);
    let left =
        || deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()).ok_or_else(late);
    let mut addresses = target.to_socket_addrs().map_err(failed)?;
    let address = addresses.next().ok_or("the host has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, left()?).map_err(failed)?;
    stream.set_write_timeout(Some(left()?)).map_err(failed)?;
    let request = format!("GET /{path} HTTP/1.0\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let (mut answer, mut chunk) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        stream.set_read_timeout(Some(left()?)).map_err(failed)?;
        match stream.read(&mut chunk).map_err(failed)? {
            0 => break,
            count => answer.extend_from_slice(&chunk[..count]),
        }
        if answer.len() > limits::FETCH_OCTETS {
            return Err(format!("it is larger than {} MiB", limits::FETCH_OCTETS >> 20));
        }
    }
    read(&answer)
}

/// Reads an answer.
fn read(answer: &[u8]) -> Result<Vec<Crl>, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or("the answer is no HTTP")?;
    let head = String::from_utf8_lossy(&answer[..end]);
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if !head.starts_with("HTTP/1.") || status != "200" {
        return Err(format!("the server answers {status}"));
    }
    Crl::read_all(&answer[end + 4..]).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers one request so, in pieces.
    fn server(pieces: Vec<Vec<u8>>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            assert!(request[..count].starts_with(b"GET /a/ca.crl HTTP/1.0\r\n"));
            for piece in pieces {
                if stream.write_all(&piece).is_err() {
                    return;
                }
            }
        });
        format!("http://{address}/a/ca.crl")
    }

    fn list() -> Vec<u8> {
        let file = include_bytes!("../../../tests/vectors/pkits/crls.pem");
        let end = b"-----END X509 CRL-----";
        let at = file.windows(end.len()).position(|some| some == end).unwrap();
        file[..at + end.len()].to_vec()
    }

    #[test]
    fn a_list_is_fetched() {
        let head = b"HTTP/1.1 200 OK\r\nContent-Type: application/pkix-crl\r\n\r\n".to_vec();
        let url = server(vec![head, list()]);
        assert_eq!(get(&url, Duration::from_secs(5)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_list_is_refused_with_why() {
        for (answer, why) in [
            ("HTTP/1.1 404 Not Found\r\n\r\n", "answers 404"),
            ("SSH-2.0\r\n\r\n", "answers"),
            ("HTTP/1.1 200 OK\r\n\r\n<html>", "no revocation list"),
            ("HTTP/1.1 200 OK", "no HTTP"),
        ] {
            let told = get(&server(vec![answer.as_bytes().to_vec()]), Duration::from_secs(5)).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn an_endless_answer_is_cut_off() {
        let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        let mut pieces = vec![head];
        pieces.extend(std::iter::repeat_n(vec![0; 1 << 20], 64));
        assert!(get(&server(pieces), Duration::from_secs(60)).unwrap_err().contains("larger than"));
    }

    #[test]
    fn a_silent_server_is_left_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        assert!(get(&url, Duration::from_millis(200)).is_err());
    }

    #[test]
    fn a_failure_takes_no_list_away() {
        let crls = Crl::read_all(&list()).unwrap();
        let mut lists = Lists::default();
        let mut learn = |fetched| {
            lists.is_news = false;
            lists.learn("x".to_owned(), fetched, |_, new| new);
            lists.is_news
        };
        assert!(learn(Ok(crls.clone())));
        assert!(!learn(Ok(crls)));
        assert!(!learn(Err("no answer".to_owned())));
        assert_eq!(lists.all().count(), 1);
    }
}
