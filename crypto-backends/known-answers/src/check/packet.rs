//! Whole packet protections: sealed and opened, alone and in a batch, and whatever was changed refused.

use vpnhost_crypto::{CryptoError, PacketAlgorithm, PacketKey, PacketMut};

use super::{failed, iv_kind, other_lengths, refused, same};
use crate::{Fault, answer::Answer};

/// Puts one known answer to a packet protection; a forged packet is a known answer too.
pub(crate) fn packet(algorithm: &dyn PacketAlgorithm, answer: &Answer<'_>) -> Result<(), Fault> {
    let case = Case::of(answer);
    if let Some(forged) = answer.find("forged") {
        let mut key = algorithm.key(case.key, case.integrity_key).map_err(failed("its key"))?;
        let mut octets = [case.aad, case.iv, forged].concat();
        return refuses(key.as_mut(), case.packet(&mut octets, Ok(())), "packet");
    }
    lengths(algorithm, &case)?;
    let mut key = algorithm.key(case.key, case.integrity_key).map_err(failed("its key"))?;
    if key.layout() != algorithm.layout() {
        return Err(Fault::Layout);
    }
    alone(key.as_mut(), &case)?;
    forgeries(key.as_mut(), &case)?;
    batch(key.as_mut(), &case)?;
    short(key.as_mut(), &case)?;
    // Once more, now that the key has seen everything.
    alone(key.as_mut(), &case)
}

struct Case<'a> {
    key: &'a [u8],
    integrity_key: &'a [u8],
    aad: &'a [u8],
    iv: &'a [u8],
    text: &'a [u8],
    esn_high: Option<u32>,
    icv_len: usize,
    clear: Vec<u8>,
    sealed: Vec<u8>,
}

impl<'a> Case<'a> {
    fn of(answer: &'a Answer<'_>) -> Self {
        let [aad, iv, text, sealed] = ["aad", "iv", "text", "sealed"].map(|name| answer.octets(name));
        let icv_len = sealed.len().saturating_sub(text.len());
        let esn_high = answer.find("esn_high").and_then(|high| high.try_into().ok());
        Self {
            key: answer.octets("key"),
            integrity_key: answer.octets("integrity_key"),
            aad,
            iv,
            text,
            esn_high: esn_high.map(u32::from_be_bytes),
            icv_len,
            clear: [aad, iv, text, &vec![0; icv_len]].concat(),
            sealed: [aad, iv, sealed].concat(),
        }
    }

    /// Makes a packet of a copy; the outcome it bears must be overwritten.
    fn packet<'b>(&self, octets: &'b mut [u8], outcome: Result<(), CryptoError>) -> PacketMut<'b> {
        PacketMut { octets, aad_len: self.aad.len(), esn_high: self.esn_high, outcome }
    }

    /// Demands the plaintext, and that nothing else was written.
    fn same_opened(&self, octets: &[u8]) -> Result<(), Fault> {
        let icv_at = self.sealed.len() - self.icv_len;
        same("plaintext", &octets[..icv_at], &self.clear[..icv_at])?;
        same("ICV after opening", &octets[icv_at..], &self.sealed[icv_at..])
    }
}

fn lengths(algorithm: &dyn PacketAlgorithm, case: &Case<'_>) -> Result<(), Fault> {
    let layout = algorithm.layout();
    let stated = [layout.encryption_key_len, layout.integrity_key_len, layout.iv_len, layout.icv_len];
    let known = [case.key.len(), case.integrity_key.len(), case.iv.len(), case.icv_len];
    let whole_blocks = layout.block_len != 0 && case.text.len().is_multiple_of(layout.block_len);
    if stated != known || !whole_blocks || layout.iv_kind != iv_kind(algorithm.id().encryption) {
        return Err(Fault::Layout);
    }
    for key in other_lengths(case.key) {
        refused("a key", &algorithm.key(&key, case.integrity_key))?;
    }
    for key in other_lengths(case.integrity_key) {
        refused("an integrity key", &algorithm.key(case.key, &key))?;
    }
    Ok(())
}

fn alone(key: &mut dyn PacketKey, case: &Case<'_>) -> Result<(), Fault> {
    let mut octets = case.clear.clone();
    let mut packets = [case.packet(&mut octets, Err(CryptoError::Backend))];
    key.seal(&mut packets);
    packets[0].outcome.map_err(failed("sealing"))?;
    same("sealed packet", &octets, &case.sealed)?;
    let mut packets = [case.packet(&mut octets, Err(CryptoError::Backend))];
    key.open(&mut packets);
    packets[0].outcome.map_err(failed("opening"))?;
    case.same_opened(&octets)
}

/// Changes one octet each of all that the ICV protects, and every octet of the ICV.
fn forgeries(key: &mut dyn PacketKey, case: &Case<'_>) -> Result<(), Fault> {
    let iv_at = case.aad.len();
    let text_at = iv_at + case.iv.len();
    let icv_at = case.sealed.len() - case.icv_len;
    let ends = |from: usize, to: usize| (from..to).step_by((to - from).saturating_sub(1).max(1));
    let places = ends(0, iv_at)
        .map(|place| (place, "AAD"))
        .chain(ends(iv_at, text_at).map(|place| (place, "IV")))
        .chain(ends(text_at, icv_at).map(|place| (place, "ciphertext")))
        .chain((icv_at..case.sealed.len()).map(|place| (place, "ICV")));
    for (place, what) in places {
        let mut octets = case.sealed.clone();
        octets[place] ^= 0x01;
        refuses(key, case.packet(&mut octets, Ok(())), what)?;
    }
    let mut octets = case.sealed.clone();
    octets[icv_at..].fill(0);
    // Some sets have packets whose ICV is zero indeed.
    if octets != case.sealed {
        refuses(key, case.packet(&mut octets, Ok(())), "ICV")?;
    }
    other_sequence_number(key, case)
}

/// RFC 4303, 2.2.1: the high half is not in the packet, but under the ICV.
fn other_sequence_number(key: &mut dyn PacketKey, case: &Case<'_>) -> Result<(), Fault> {
    // Only an SPI and a sequence number can have a high half.
    let other = match case.esn_high {
        Some(high) => Some(high ^ 1),
        None if case.aad.len() == 8 => Some(0),
        None => return Ok(()),
    };
    let mut octets = case.sealed.clone();
    let mut packet = case.packet(&mut octets, Ok(()));
    packet.esn_high = other;
    refuses(key, packet, "sequence number")
}

fn refuses(key: &mut dyn PacketKey, packet: PacketMut<'_>, what: &'static str) -> Result<(), Fault> {
    let mut packets = [packet];
    key.open(&mut packets);
    match packets[0].outcome {
        Err(CryptoError::AuthenticationFailed) => Ok(()),
        Err(error) => Err(Fault::Failed("opening what was changed", error)),
        Ok(()) => Err(Fault::ForgeryAccepted(what)),
    }
}

/// RFC 4303 packets come in batches: good, forged, good, too short, good.
fn batch(key: &mut dyn PacketKey, case: &Case<'_>) -> Result<(), Fault> {
    key.seal(&mut []);
    key.open(&mut []);
    let mut all = [(); 5].map(|()| case.clear.clone());
    all[3].truncate(case.aad.len());
    let outcomes = work(&mut all, case, &mut |packets| key.seal(packets));
    let short = Err(CryptoError::BadLength);
    if outcomes != [Ok(()), Ok(()), Ok(()), short, Ok(())] {
        return Err(Fault::Batch);
    }
    if all.iter().filter(|octets| **octets == case.sealed).count() != 4 || all[3] != case.aad {
        return Err(Fault::Batch);
    }
    *all[1].last_mut().expect("it ends with an ICV") ^= 0x80;
    let outcomes = work(&mut all, case, &mut |packets| key.open(packets));
    if outcomes != [Ok(()), Err(CryptoError::AuthenticationFailed), Ok(()), short, Ok(())] {
        return Err(Fault::Batch);
    }
    [0, 2, 4].iter().try_for_each(|&place| case.same_opened(&all[place]))
}

fn work(
    all: &mut [Vec<u8>; 5],
    case: &Case<'_>,
    call: &mut dyn FnMut(&mut [PacketMut<'_>]),
) -> [Result<(), CryptoError>; 5] {
    let mut packets = all.each_mut().map(|octets| case.packet(octets, Err(CryptoError::Backend)));
    call(&mut packets);
    packets.map(|packet| packet.outcome)
}

/// A packet too short for AAD, IV and ICV is refused, and left as it was.
fn short(key: &mut dyn PacketKey, case: &Case<'_>) -> Result<(), Fault> {
    for len in 0..case.aad.len() + case.iv.len() + case.icv_len {
        for call in [PacketKey::seal, PacketKey::open] {
            let mut octets = case.sealed[..len.min(case.sealed.len())].to_vec();
            let mut packets = [case.packet(&mut octets, Ok(()))];
            call(key, &mut packets);
            refused("a packet", &packets[0].outcome)?;
            same("packet that was refused", &octets, &case.sealed[..octets.len()])?;
        }
    }
    Ok(())
}
