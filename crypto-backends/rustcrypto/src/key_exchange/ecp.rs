//! Elliptic curves modulo a prime: ECP (RFC 5903).
//!
//! A public value is x and y, each as long as the modulus, without the octet that tells a point's form; the
//! shared secret is x alone (RFC 5903 §7, §9).

use std::marker::PhantomData;

use p256::NistP256;
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, FieldBytesSize, PublicKey, SecretKey};
use p384::NistP384;
use p521::NistP521;
use vpnhost_crypto::{
    ActiveKeyExchange, CryptoError, KeyExchangeAlgorithm, SecretBytes, SecureRandom, wipe_stack,
};
use vpnhost_model::KeyExchange;
use zeroize::Zeroize;

pub(super) static ECP_256: Ecp<NistP256> = Ecp::new(KeyExchange::ECP_256, 0xff);
pub(super) static ECP_384: Ecp<NistP384> = Ecp::new(KeyExchange::ECP_384, 0xff);
pub(super) static ECP_521: Ecp<NistP521> = Ecp::new(KeyExchange::ECP_521, 0x01);

/// In front of a point whose x and y are given (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;
/// A private value that is zero or too large is drawn again; at P-256, the worst, that is one in 2^32.
const DRAWS: usize = 2;

/// What this needs of a curve.
pub(super) trait Curve:
    CurveArithmetic<AffinePoint: FromSec1Point<Self> + ToSec1Point<Self>, FieldBytesSize: ModulusSize>
{
}

impl<C> Curve for C
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
}

/// The method over a curve.
pub(super) struct Ecp<C> {
    id: KeyExchange,
    /// The bits of a private value's first octet that may be set.
    first_octet: u8,
    curve: PhantomData<fn() -> C>,
}

impl<C> Ecp<C> {
    const fn new(id: KeyExchange, first_octet: u8) -> Self {
        Self { id, first_octet, curve: PhantomData }
    }
}

impl<C: Curve> Ecp<C> {
    #[inline(never)]
    fn draw(&self, random: &mut dyn SecureRandom) -> Result<SecretKey<C>, CryptoError> {
        let mut octets = FieldBytes::<C>::default();
        let mut drawn = Err(CryptoError::Backend);
        for _ in 0..DRAWS {
            random.fill(&mut octets)?;
            octets[0] &= self.first_octet;
            drawn = SecretKey::from_bytes(&octets).map_err(|_| CryptoError::Backend);
            if drawn.is_ok() {
                break;
            }
        }
        octets.as_mut_slice().zeroize();
        drawn
    }
}

impl<C: Curve> KeyExchangeAlgorithm for Ecp<C> {
    fn id(&self) -> KeyExchange {
        self.id
    }

    fn start(&self, random: &mut dyn SecureRandom) -> Result<Box<dyn ActiveKeyExchange>, CryptoError> {
        let secret = self.draw(random)?;
        let point = secret.public_key().to_sec1_point(false);
        let public = point.as_bytes()[1..].to_vec();
        wipe_stack();
        Ok(Box::new(Active { secret, public }))
    }
}

/// An exchange under way; the library zeroizes the private value.
struct Active<C: CurveArithmetic> {
    secret: SecretKey<C>,
    public: Vec<u8>,
}

impl<C: Curve> ActiveKeyExchange for Active<C> {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SecretBytes, CryptoError> {
        // The library takes other forms of a point too, and the point at infinity.
        if peer.len() != self.public.len() {
            return Err(CryptoError::BadPeerKey);
        }
        // RFC 6989, 2.3: whatever is not on the curve is refused.
        let peer = PublicKey::<C>::from_sec1_bytes(&[&[UNCOMPRESSED], peer].concat())
            .map_err(|_| CryptoError::BadPeerKey)?;
        let secret = SecretBytes::copy_of(self.secret.diffie_hellman(&peer).raw_secret_bytes());
        wipe_stack();
        Ok(secret)
    }
}
