//! N: errors and status (RFC 7296 §3.10).

use vpnhost_model::{ChildSpi, Protocol};

use crate::wire::reader::Reader;
use crate::wire::writer::Writer;
use crate::wire::{DecodeError, DecodeErrorKind, limits, numbers};

/// The Notify payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// What kind of SA it is about; zero, and ignored, without an SPI.
    pub protocol: Protocol,
    /// The SPI of the Child SA that it is about, or nothing.
    pub spi: Vec<u8>,
    /// What it says.
    pub kind: NotifyType,
    /// The notification data.
    pub data: Vec<u8>,
}

impl Notify {
    /// Makes a notification about no SA in particular.
    pub fn new(kind: NotifyType, data: impl Into<Vec<u8>>) -> Self {
        Self { protocol: Protocol(0), spi: Vec::new(), kind, data: data.into() }
    }

    /// Makes a notification about an ESP SA: REKEY_SA, CHILD_SA_NOT_FOUND, INVALID_SELECTORS.
    pub fn about_esp(kind: NotifyType, spi: ChildSpi) -> Self {
        Self { protocol: Protocol::ESP, spi: spi.0.to_be_bytes().to_vec(), kind, data: Vec::new() }
    }

    /// Returns the SPI of a Child SA, unless it has another size.
    pub fn child_spi(&self) -> Option<ChildSpi> {
        <[u8; 4]>::try_from(self.spi.as_slice()).ok().map(|octets| ChildSpi(u32::from_be_bytes(octets)))
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let protocol = Protocol(reader.u8()?);
        let spi_size = usize::from(reader.u8()?);
        let kind = NotifyType(reader.u16()?);
        let spi = reader.take(spi_size)?.to_vec();
        let found = reader.remaining();
        if found > limits::NOTIFY_DATA {
            return Err(reader.error(DecodeErrorKind::TooLong { found, most: limits::NOTIFY_DATA }));
        }
        Ok(Self { protocol, spi, kind, data: reader.rest().to_vec() })
    }

    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.u8(self.protocol.0);
        writer.count8(self.spi.len());
        writer.u16(self.kind.0);
        writer.bytes(&self.spi);
        writer.bytes(&self.data);
    }
}

impl NotifyType {
    /// Tells whether the type reports an error; an unknown one in a response means that the request
    /// has failed, an unknown status is ignored (RFC 7296 §3.10.1).
    pub fn is_error(self) -> bool {
        self.0 < 16_384
    }
}

numbers! {
    /// What a Notify payload says.
    NotifyType(u16) {
        /// A critical payload is unknown; the data are its type.
        UNSUPPORTED_CRITICAL_PAYLOAD = 1;
        /// No IKE SA has these SPIs.
        INVALID_IKE_SPI = 4;
        /// Another major version.
        INVALID_MAJOR_VERSION = 5;
        /// A type, length or value is out of range.
        INVALID_SYNTAX = 7;
        /// A Message ID outside the window.
        INVALID_MESSAGE_ID = 9;
        /// ESP arrived for no SA.
        INVALID_SPI = 11;
        /// No offered suite is acceptable.
        NO_PROPOSAL_CHOSEN = 14;
        /// The wrong key exchange method; the data are the right one.
        INVALID_KE_PAYLOAD = 17;
        /// The proof failed.
        AUTHENTICATION_FAILED = 24;
        /// Only one pair of addresses at a time.
        SINGLE_PAIR_REQUIRED = 34;
        /// No further Child SA.
        NO_ADDITIONAL_SAS = 35;
        /// No address to give.
        INTERNAL_ADDRESS_FAILURE = 36;
        /// A Configuration payload was expected.
        FAILED_CP_REQUIRED = 37;
        /// No selector is acceptable.
        TS_UNACCEPTABLE = 38;
        /// ESP carried a packet outside of its selectors.
        INVALID_SELECTORS = 39;
        /// RFC 4555: these addresses cannot be used.
        UNACCEPTABLE_ADDRESSES = 40;
        /// RFC 4555: a NAT where none is allowed.
        UNEXPECTED_NAT_DETECTED = 41;
        /// RFC 5026.
        USE_ASSIGNED_HOA = 42;
        /// Try again later.
        TEMPORARY_FAILURE = 43;
        /// The Child SA does not exist.
        CHILD_SA_NOT_FOUND = 44;
        /// G-IKEv2.
        INVALID_GROUP_ID = 45;
        /// G-IKEv2.
        AUTHORIZATION_FAILED = 46;
        /// RFC 9370.
        STATE_NOT_FOUND = 47;
        /// RFC 9611.
        TS_MAX_QUEUE = 48;
        /// The only SA between these identities.
        INITIAL_CONTACT = 16384;
        /// A larger window.
        SET_WINDOW_SIZE = 16385;
        /// Further selectors in Child SAs of their own.
        ADDITIONAL_TS_POSSIBLE = 16386;
        /// IP compression.
        IPCOMP_SUPPORTED = 16387;
        /// A hash of the sender's address and port.
        NAT_DETECTION_SOURCE_IP = 16388;
        /// A hash of the receiver's address and port.
        NAT_DETECTION_DESTINATION_IP = 16389;
        /// A cookie to return.
        COOKIE = 16390;
        /// Transport mode.
        USE_TRANSPORT_MODE = 16391;
        /// Certificates may come by HTTP.
        HTTP_CERT_LOOKUP_SUPPORTED = 16392;
        /// The Child SA that this one replaces.
        REKEY_SA = 16393;
        /// No traffic flow confidentiality padding.
        ESP_TFC_PADDING_NOT_SUPPORTED = 16394;
        /// Fragments without ports may pass.
        NON_FIRST_FRAGMENTS_ALSO = 16395;
        /// RFC 4555.
        MOBIKE_SUPPORTED = 16396;
        /// RFC 4555.
        ADDITIONAL_IP4_ADDRESS = 16397;
        /// RFC 4555.
        ADDITIONAL_IP6_ADDRESS = 16398;
        /// RFC 4555.
        NO_ADDITIONAL_ADDRESSES = 16399;
        /// RFC 4555.
        UPDATE_SA_ADDRESSES = 16400;
        /// RFC 4555.
        COOKIE2 = 16401;
        /// RFC 4555.
        NO_NATS_ALLOWED = 16402;
        /// RFC 4478.
        AUTH_LIFETIME = 16403;
        /// RFC 4739.
        MULTIPLE_AUTH_SUPPORTED = 16404;
        /// RFC 4739.
        ANOTHER_AUTH_FOLLOWS = 16405;
        /// RFC 5685.
        REDIRECT_SUPPORTED = 16406;
        /// RFC 5685.
        REDIRECT = 16407;
        /// RFC 5685.
        REDIRECTED_FROM = 16408;
        /// RFC 5723.
        TICKET_LT_OPAQUE = 16409;
        /// RFC 5723.
        TICKET_REQUEST = 16410;
        /// RFC 5723.
        TICKET_ACK = 16411;
        /// RFC 5723.
        TICKET_NACK = 16412;
        /// RFC 5723.
        TICKET_OPAQUE = 16413;
        /// RFC 5739.
        LINK_ID = 16414;
        /// RFC 5840.
        USE_WESP_MODE = 16415;
        /// RFC 5857.
        ROHC_SUPPORTED = 16416;
        /// RFC 5998.
        EAP_ONLY_AUTHENTICATION = 16417;
        /// RFC 6023.
        CHILDLESS_IKEV2_SUPPORTED = 16418;
        /// RFC 6290.
        QUICK_CRASH_DETECTION = 16419;
        /// RFC 6311.
        IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420;
        /// RFC 6311.
        IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421;
        /// RFC 6311.
        IKEV2_MESSAGE_ID_SYNC = 16422;
        /// RFC 6311.
        IPSEC_REPLAY_COUNTER_SYNC = 16423;
        /// RFC 6467.
        SECURE_PASSWORD_METHODS = 16424;
        /// RFC 6631.
        PSK_PERSIST = 16425;
        /// RFC 6631.
        PSK_CONFIRM = 16426;
        /// RFC 6867.
        ERX_SUPPORTED = 16427;
        /// 3GPP TS 24.303.
        IFOM_CAPABILITY = 16428;
        /// G-IKEv2.
        SENDER_REQUEST_ID = 16429;
        /// RFC 7383.
        IKEV2_FRAGMENTATION_SUPPORTED = 16430;
        /// RFC 7427.
        SIGNATURE_HASH_ALGORITHMS = 16431;
        /// RFC 7791.
        CLONE_IKE_SA_SUPPORTED = 16432;
        /// RFC 7791.
        CLONE_IKE_SA = 16433;
        /// RFC 8019.
        PUZZLE = 16434;
        /// RFC 8784.
        USE_PPK = 16435;
        /// RFC 8784.
        PPK_IDENTITY = 16436;
        /// RFC 8784.
        NO_PPK_AUTH = 16437;
        /// RFC 9242.
        INTERMEDIATE_EXCHANGE_SUPPORTED = 16438;
        /// RFC 8983.
        IP4_ALLOWED = 16439;
        /// RFC 8983.
        IP6_ALLOWED = 16440;
        /// RFC 9370.
        ADDITIONAL_KEY_EXCHANGE = 16441;
        /// RFC 9347.
        USE_AGGFRAG = 16442;
        /// RFC 9593.
        SUPPORTED_AUTH_METHODS = 16443;
        /// RFC 9611.
        SA_RESOURCE_INFO = 16444;
        /// This product's: a further answer is given where one is asked for.
        IDLE_PROBE_SUPPORTED = 57361;
        /// This product's: a further answer is asked for, or promised; the data are milliseconds.
        IDLE_PROBE = 57362;
        /// This product's: the further answer.
        IDLE_PROBE_ENDS = 57363;
        /// This product's: nothing but room, in a message that is to be as large as what it tests.
        PADDING = 57364;
    }
}
