//! Programs of the machine that are run: found in PATH, given their input, and ended when they take too long.

use std::io::{Read, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use crate::error::DriverError;
use crate::limits;

/// Where programs are looked for if PATH lacks it: a service's or a user's PATH may leave out the sbin directories.
const USUAL: [&str; 4] = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];

/// What a program said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    /// Whether it succeeded.
    pub(crate) success: bool,
    /// Standard output.
    pub(crate) output: String,
    /// Standard error.
    pub(crate) errors: String,
}

impl Said {
    /// Returns the first line of what it complained about.
    pub(crate) fn complaint(&self) -> String {
        let text = if self.errors.trim().is_empty() { &self.output } else { &self.errors };
        text.lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it failed without a word")
            .trim()
            .to_owned()
    }
}

/// Finds a program.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let listed = std::env::split_paths(&path).filter(|directory| directory.is_absolute());
    listed.chain(USUAL.map(PathBuf::from)).map(|directory| directory.join(name)).find(|file| file.is_file())
}

/// Runs a program to its end, away from the event loop.
pub(crate) async fn run(
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
    input: String,
) -> Result<Said, DriverError> {
    let run = move || run_here(name, path, &arguments, input);
    match tokio::task::spawn_blocking(run).await {
        Ok(said) => said,
        Err(_) => Err(DriverError::Program { program: name, message: "it was given up".to_owned() }),
    }
}

fn run_here(
    name: &'static str,
    path: PathBuf,
    arguments: &[String],
    input: String,
) -> Result<Said, DriverError> {
    let failed = |message: String| DriverError::Program { program: name, message };
    let mut child = Command::new(path)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be run: {error}")))?;
    // On threads of their own: a program that does not read, or says much, must not hold up the look at the clock.
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends without reading says itself why.
        thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    }
    let output = child.stdout.take().map(listen);
    let errors = child.stderr.take().map(listen);
    let success = wait(name, &mut child)?;
    Ok(Said { success, output: heard(output), errors: heard(errors) })
}

fn wait(name: &'static str, child: &mut Child) -> Result<bool, DriverError> {
    let deadline = Instant::now() + limits::PROGRAM;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(limits::PROGRAM_LOOK),
            Ok(None) => {
                // It may have ended meanwhile.
                drop(child.kill());
                drop(child.wait());
                return Err(DriverError::Timeout(name));
            }
            Err(error) => return Err(DriverError::Program { program: name, message: error.to_string() }),
        }
    }
}

fn listen(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, heard) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        // What could be read is what there is to tell; the rest goes unread, so that the program can end.
        drop(from.by_ref().take(limits::PROGRAM_SAYS).read_to_end(&mut text));
        drop(std::io::copy(&mut from, &mut std::io::sink()));
        // Nobody may wait for it any more.
        drop(sender.send(String::from_utf8_lossy(&text).into_owned()));
    });
    heard
}

/// Returns what an ended program said. Something that it started may go on and hold its output open: no word then.
fn heard(listener: Option<mpsc::Receiver<String>>) -> String {
    listener.and_then(|heard| heard.recv_timeout(limits::PROGRAM_LAST_WORDS).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str, input: &str) -> Result<Said, DriverError> {
        run_here("sh", find("sh").unwrap(), &["-c".to_owned(), script.to_owned()], input.to_owned())
    }

    #[test]
    fn a_program_gets_its_input_and_is_heard() {
        let said = shell("cat; echo wrong >&2; exit 3", "right").unwrap();
        assert_eq!(said, Said { success: false, output: "right".to_owned(), errors: "wrong\n".to_owned() });
        assert_eq!(said.complaint(), "wrong");
    }

    #[test]
    fn much_input_that_is_not_read_holds_nothing_up() {
        assert!(shell("exit 0", &"x".repeat(1 << 20)).unwrap().success);
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let before = Instant::now();
        assert!(shell("sleep 20 & exit 0", "").unwrap().success);
        assert!(before.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(find("no-such-program-anywhere"), None);
        assert!(find("sh").is_some_and(|path| path.is_absolute()));
    }
}
