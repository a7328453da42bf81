//! The TUN device: the queue of packets between the kernel and the tunnel.
