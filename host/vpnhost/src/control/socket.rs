//! The control socket itself: where it lies, who may open it, how many at once.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::server::{Context, router};
use crate::exit::{self, Failure};
use crate::limits;

/// Whose members may control the host, where there is such a group.
const GROUP: &str = "vpnhost";

/// A bound control socket; its file is removed when it goes.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    listener: Bounded,
    file: SocketFile,
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody removed it already: that is what was wanted.
        let _ = fs::remove_file(&self.0);
    }
}

impl ControlSocket {
    /// Binds the socket: mode 0660, of group `vpnhost` where there is one. A socket that nobody answers on is
    /// replaced.
    ///
    /// # Errors
    /// Another daemon that answers there, or what the file system says.
    pub(crate) fn bind(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            Failure::failed(format!("the control socket {} cannot be opened", path.display()))
                .because(exit::plain(&error))
        };
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).map_err(failed)?;
        }
        if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
            match std::os::unix::net::UnixStream::connect(path) {
                Ok(_) => {
                    return Err(Failure::failed(format!("another vpnhost answers on {}", path.display()))
                        .hint("stop it, or name another socket with --control"));
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(failed)?;
                }
                // Binding says what is wrong.
                Err(_) => {}
            }
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        let file = SocketFile(path.to_owned());
        fs::set_permissions(path, fs::Permissions::from_mode(0o660)).map_err(failed)?;
        give_to_group(path);
        let slots = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS));
        Ok(Self { listener: Bounded { listener, slots }, file })
    }

    /// Answers requests until the runtime ends.
    pub(crate) async fn serve(self, context: Context) {
        let Self { listener, file } = self;
        if let Err(error) = axum::serve(listener, router(context)).await {
            tracing::error!(%error, "the control socket is closed: verbs find no daemon");
        }
        drop(file);
    }
}

/// Lets the group's members in. Without CAP_CHOWN that needs a directory that hands its group on.
fn give_to_group(path: &Path) {
    let Some(group) = group_id(GROUP) else { return };
    if fs::metadata(path).is_ok_and(|found| found.gid() == group) {
        return;
    }
    if let Err(error) = chown(path, None, Some(group)) {
        let why = exit::plain(&error);
        tracing::warn!(why, "the control socket is not the group {GROUP}'s: only root can use it");
    }
}

/// Looks a group up in the system's file; directories behind NSS do not matter for a local service's group.
fn group_id(name: &str) -> Option<u32> {
    let text = fs::read_to_string("/etc/group").ok()?;
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let found = fields.next() == Some(name);
        found.then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

/// Accepts no more connections at once than there are slots.
#[derive(Debug)]
struct Bounded {
    listener: UnixListener,
    slots: Arc<Semaphore>,
}

impl axum::serve::Listener for Bounded {
    type Io = Slotted;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        // The semaphore is never closed, and without it nobody would be kept out.
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (Slotted { stream, _slot: slot }, address),
                Err(error) => {
                    tracing::debug!(%error, "a verb could not be let in");
                    tokio::time::sleep(limits::ACCEPT_AGAIN).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that gives its slot back when it ends.
struct Slotted {
    stream: UnixStream,
    _slot: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Slotted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Slotted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        octets: &[u8],
    ) -> task::Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, octets)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_one_that_answers_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/control.sock");
        let first = ControlSocket::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        let second = ControlSocket::bind(&path).unwrap_err().to_string();
        assert!(second.starts_with("error: another vpnhost answers on "), "{second}");
        let ControlSocket { listener, file } = first;
        // As after a kill: nobody listens, but the file is there.
        std::mem::forget(file);
        drop(listener);
        drop(ControlSocket::bind(&path).unwrap());
        assert!(!path.exists(), "the file stays behind");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("precious");
        fs::write(&path, "text").unwrap();
        let failure = ControlSocket::bind(&path).unwrap_err().to_string();
        assert!(failure.contains("precious cannot be opened (address already in use)"), "{failure}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "text");
    }
}
