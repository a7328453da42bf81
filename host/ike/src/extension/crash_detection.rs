//! Quick crash detection (RFC 6290): both hosts give each other a token for their IKE SA, under its protection. Who lost
//! the IKE SA can make the token again, and says it in clear to whoever asks for that IKE SA: that proves the loss.
//!
//! Tokens are made under a secret that survives a restart; a host without one makes none, and takes those of others all
//! the same. It does not know where the secret is kept.

use vpnhost_crypto::SecretBytes;
use vpnhost_model::{IkeSaId, IkeSpi, Now, Prf, Protocol};

use crate::endpoint::IkeEndpoint;
use crate::exchange::LocalExchange;
use crate::host::Host;
use crate::limits;
use crate::output::CloseReason;
use crate::sa::IkeSa;
use crate::sa::queue::Task;
use crate::wire::payload::{Notify, NotifyType};
use crate::wire::{Envelope, ExchangeType, Header, Message, Payload};

/// What tokens are made of, besides the secret and the SPIs: the secret serves nothing else.
const LABEL: &[u8] = b"RFC 6290 token of an IKE SA";

/// Makes this host's token for an IKE SA; `None` if it makes none.
pub(crate) fn token(host: &Host, spis: (IkeSpi, IkeSpi)) -> Option<Payload> {
    make(host, spis).map(Payload::Notify)
}

/// RFC 6290, 5.1: whoever has the secret makes the same token of the same SPIs, and nobody else does. The PRF is always
/// the same one: which algorithms peers agree on may change from one start to the next.
fn make(host: &Host, (spi_i, spi_r): (IkeSpi, IkeSpi)) -> Option<Notify> {
    let secret = host.crash_secret.as_ref().filter(|_| host.config.crash_detection)?;
    let key = host.crypto.find_prf(Prf::HMAC_SHA2_256)?.key(secret.expose()).ok()?;
    let token = key.compute(&[LABEL, &spi_i.0, &spi_r.0]).ok()?;
    let data = token.into_public();
    // RFC 6290, 4.1: it is about an IKE SA, and names no SPI.
    Some(Notify { protocol: Protocol::IKE, ..Notify::new(NotifyType::QUICK_CRASH_DETECTION, data) })
}

/// Returns the token that goes with an answer to a request for an IKE SA which is not here.
///
/// RFC 6290, 9.2: never for one that is here. Whoever says the SPIs of a living IKE SA in the wrong roles is told nothing
/// either. Only what looks protected gets one (§4.5), and not too many do (§9.3).
pub(crate) fn proof_of_loss(host: &mut Host, now: Now, header: &Header, datagram: &[u8]) -> Option<Notify> {
    let is_here = |spi: &IkeSpi| host.directory.ike_spis.contains_key(spi);
    let is_protected = matches!(Envelope::find(datagram), Ok(Some(_)));
    if !is_protected || is_here(&header.spi_i) || is_here(&header.spi_r) {
        return None;
    }
    // A flood costs no computation.
    if !host.crash_tokens.take(now.instant) {
        return None;
    }
    make(host, (header.spi_i, header.spi_r))
}

/// Reads the token that a peer gives under protection; one of an odd length is none (RFC 6290 §5).
pub(crate) fn given(message: &Message) -> Option<SecretBytes> {
    let fits = |notify: &&Notify| limits::CRASH_TOKEN.contains(&notify.data.len());
    let token = message.notify(NotifyType::QUICK_CRASH_DETECTION).filter(fits)?;
    Some(SecretBytes::copy_of(&token.data))
}

/// Tells whether one of the tokens in a message is the one that the peer gave, in constant time: it may have changed its
/// secret since, and remember some (RFC 6290 §4.5).
fn is_repeated(message: &Message, given: &SecretBytes) -> bool {
    let tokens = message.notifies().filter(|notify| notify.kind == NotifyType::QUICK_CRASH_DETECTION);
    tokens.take(limits::CRASH_TOKENS_READ).any(|token| SecretBytes::copy_of(&token.data) == *given)
}

impl IkeSa {
    /// Keeps the token that a peer gives in an INFORMATIONAL, whenever it does (RFC 6290 §4.3, §4.4). One that comes with
    /// CREATE_CHILD_SA is for another IKE SA.
    pub(crate) fn keep_token(&mut self, header: &Header, message: &Message) {
        if header.exchange == ExchangeType::INFORMATIONAL
            && let Some(token) = given(message)
            && let Some(established) = self.established_mut()
        {
            established.crash_token = Some(token);
        }
    }

    /// Tells whether what somebody says in clear proves that the peer lost this IKE SA. Where it comes from does not
    /// matter: another host may stand in for the peer (RFC 6290 §3).
    ///
    /// A comparison costs less than to find that a message is forged: there is no bound on how many are made.
    pub(crate) fn is_proved_lost(&self, host: &Host, message: &Message) -> bool {
        let Some(given) = self.established().and_then(|established| established.crash_token.as_ref()) else {
            return false;
        };
        let says = message.notify(NotifyType::QUICK_CRASH_DETECTION).is_some();
        let is_proved = host.config.crash_detection && is_repeated(message, given);
        if says {
            tracing::debug!(ike_sa = %self.id, is_proved, "a token in clear");
        }
        is_proved
    }

    /// Gives the peer the token of an IKE SA that this host made by a rekey (RFC 6290 §4.3).
    pub(crate) fn begin_give_token(&mut self, host: &mut Host, now: Now) {
        let Some(token) = token(host, (self.spi_i, self.spi_r)) else { return };
        if let Some(established) = self.established_mut() {
            established.local = Some(LocalExchange::Liveness);
        }
        let sent = self.request(host, now, ExchangeType::INFORMATIONAL, &[token]);
        self.settle(host, now, sent);
    }

    /// This IKE SA took another's place. Whose request it was made by has not given its token yet.
    pub(crate) fn want_token_given(&mut self, host: &Host) {
        if self.role.is_initiator() && token(host, (self.spi_i, self.spi_r)).is_some() {
            self.want(Task::GiveToken);
        }
    }
}

impl IkeEndpoint {
    /// Takes the secret that tokens are made under (RFC 6290 §5.1): 32 octets that no other host has, and that the next
    /// start finds again. Without it peers get no tokens.
    ///
    /// Two hosts that run at the same time must not share it: each would end the other's IKE SAs (§9.2).
    pub fn use_crash_secret(&mut self, secret: SecretBytes) {
        self.host.crash_secret = Some(secret);
    }

    /// The peer proved that it lost an IKE SA: who began it begins anew at once, and what is left of it goes when another has
    /// taken its place.
    pub(crate) fn begin_after_loss(&mut self, now: Now, id: IkeSaId) {
        let Some(established) = self.sas.get(&id).and_then(IkeSa::established) else { return };
        let ends = established.queue.ends_ike_sa() || self.host.shutting_down;
        let begins = !ends && established.connection.initiate && established.first_role.is_initiator();
        let name = established.connection.name.clone();
        if begins && self.lasting_sas_of(&name).iter().all(|other| *other == id) {
            return self.visit_one(id, |sa, host| sa.outlive_loss(host, now));
        }
        self.visit_one(id, |sa, host| sa.end(host, now, CloseReason::PeerLostState));
    }
}
