//! AES-XCBC-MAC with keys of 128 bits (RFC 3566 §4), which no crate has.

use aes::Aes128;
use cipher::{Array, Block, BlockCipherEncrypt, KeyInit, KeySizeUser, consts::U16};
use digest::{FixedOutput, MacMarker, Output, OutputSizeUser, Update};
use zeroize::{Zeroize, ZeroizeOnDrop};

const BLOCK: usize = 16;

/// The MAC under way: at most one block waits, because the last one is treated differently.
#[derive(Clone)]
pub(crate) struct Xcbc {
    /// Under K1; it zeroizes itself.
    cipher: Aes128,
    /// K2, for a last block that is whole.
    whole: [u8; BLOCK],
    /// K3, for a last block that was padded.
    padded: [u8; BLOCK],
    state: [u8; BLOCK],
    waiting: [u8; BLOCK],
    waiting_len: usize,
}

impl Xcbc {
    /// Takes a block in.
    fn absorb(&mut self, block: &[u8; BLOCK]) {
        let mut state = Block::<Aes128>::from(self.state);
        state.iter_mut().zip(block).for_each(|(state, octet)| *state ^= octet);
        self.cipher.encrypt_block(&mut state);
        self.state = state.into();
        state.as_mut_slice().zeroize();
    }
}

impl KeySizeUser for Xcbc {
    type KeySize = U16;
}

impl KeyInit for Xcbc {
    fn new(key: &Array<u8, U16>) -> Self {
        let master = Aes128::new(key);
        let derive = |octet| {
            let mut block = Block::<Aes128>::from([octet; BLOCK]);
            master.encrypt_block(&mut block);
            block
        };
        let mut first = derive(1);
        let cipher = Aes128::new(&first);
        first.as_mut_slice().zeroize();
        Self {
            cipher,
            whole: derive(2).into(),
            padded: derive(3).into(),
            state: [0; BLOCK],
            waiting: [0; BLOCK],
            waiting_len: 0,
        }
    }
}

impl OutputSizeUser for Xcbc {
    type OutputSize = U16;
}

impl Update for Xcbc {
    fn update(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.waiting_len == BLOCK {
                let block = self.waiting;
                self.absorb(&block);
                self.waiting_len = 0;
            }
            let (now, later) = data.split_at(data.len().min(BLOCK - self.waiting_len));
            self.waiting[self.waiting_len..self.waiting_len + now.len()].copy_from_slice(now);
            self.waiting_len += now.len();
            data = later;
        }
    }
}

impl FixedOutput for Xcbc {
    fn finalize_into(mut self, out: &mut Output<Self>) {
        let mut last = [0; BLOCK];
        last[..self.waiting_len].copy_from_slice(&self.waiting[..self.waiting_len]);
        let mask = if self.waiting_len == BLOCK {
            self.whole
        } else {
            last[self.waiting_len] = 0x80;
            self.padded
        };
        last.iter_mut().zip(mask).for_each(|(octet, mask)| *octet ^= mask);
        self.absorb(&last);
        last.zeroize();
        out.copy_from_slice(&self.state);
    }
}

impl MacMarker for Xcbc {}

impl Drop for Xcbc {
    fn drop(&mut self) {
        for block in [&mut self.whole, &mut self.padded, &mut self.state, &mut self.waiting] {
            block.zeroize();
        }
    }
}

impl ZeroizeOnDrop for Xcbc {}
