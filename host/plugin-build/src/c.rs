//! C: the bindings are made here, of the WIT that the project has; zig or clang compiles them with the plugin.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use wit_bindgen_core::Files;

use crate::component::{encode, file};
use crate::make::Job;
use crate::tool::python_packages;
use crate::world::World;
use crate::{BuildError, wasi};

/// What bindings and their types are named after; `plugin.c` is the author's.
const BINDINGS: &str = "vpnhost";
/// Room for local variables; what overflows it meets the end of memory and is ended.
const STACK: &str = "-Wl,-z,stack-size=65536";
const FLAGS: [&str; 5] = ["-mexec-model=reactor", "-Os", "-Wall", "-Wextra", STACK];
/// Compilers that may have a C library for WebAssembly.
const CLANGS: [&str; 6] = ["clang", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18"];
const LIBRARY: &str = "/usr/include/wasm32-wasi/stdlib.h";

pub(crate) fn build(job: &Job<'_>) -> Result<Vec<u8>, BuildError> {
    write_bindings(job)?;
    let sources = sources(job.root)?;
    let (mut compiler, name) = compiler(job)?;
    let module = job.bindings.join("module.wasm");
    let slow = if module.is_file() { "" } else { ": half a minute the first time, with its C library" };
    (job.say)(&format!("building {} with {name}{slow}", job.world.name()));
    compiler
        .current_dir(job.root)
        .args(FLAGS)
        .arg("-I")
        .arg(job.bindings)
        .args(["-Ivendor", "-o"])
        .arg(&module)
        .args(&sources)
        .arg(job.bindings.join(format!("{BINDINGS}.c")))
        .arg(job.bindings.join(format!("{BINDINGS}_component_type.o")));
    let status = compiler.status().map_err(|source| BuildError::Tool { tool: "the C compiler", source })?;
    if !status.success() {
        return Err(BuildError::Compile { path: job.root.to_owned() });
    }
    let module = fs::read(&module).map_err(|source| file("read", &module, source))?;
    encode(job.world.name(), &module, wasi::powerless(&module).as_deref())
}

fn write_bindings(job: &Job<'_>) -> Result<(), BuildError> {
    let options = wit_bindgen_c::Opts {
        rename_world: Some(BINDINGS.to_owned()),
        // `rank_paths_path_menu_t`, not the whole name with package and version.
        rename: short(job.world),
        ..wit_bindgen_c::Opts::default()
    };
    let mut files = Files::default();
    let mut resolve = job.world.resolve.clone();
    let made = options.build().generate(&mut resolve, job.world.id, &mut files);
    made.map_err(|error| BuildError::Encode {
        package: job.world.name().to_owned(),
        text: format!("{error:#}"),
    })?;
    for (name, octets) in files.iter() {
        let path = job.bindings.join(name);
        fs::write(&path, octets).map_err(|source| file("write", &path, source))?;
    }
    Ok(())
}

/// An interface's own name will do, unless two packages have one of it.
fn short(world: &World) -> Vec<(String, String)> {
    let interfaces = world.interfaces();
    let is_alone = |at: usize| {
        let (full, name) = &interfaces[at];
        interfaces.iter().all(|(other, it)| it != name || other == full)
    };
    let names = (0..interfaces.len()).filter(|&at| is_alone(at)).map(|at| interfaces[at].clone());
    names.map(|(full, name)| (full, name.replace('-', "_"))).collect()
}

/// The C files of the project's directory; `plugin.c` is one.
fn sources(root: &Path) -> Result<Vec<OsString>, BuildError> {
    let entries = fs::read_dir(root).map_err(|source| file("read", root, source))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut sources: Vec<OsString> =
        names.filter(|name| Path::new(name).extension().is_some_and(|it| it == "c")).collect();
    sources.sort();
    Ok(sources)
}

/// Returns a compiler: the one that `VPNHOST_GUEST_CC` names, a clang with a C library for WebAssembly, zig, and else the
/// zig that pip brings.
fn compiler(job: &Job<'_>) -> Result<(Command, String), BuildError> {
    let clang = |path: PathBuf| {
        let mut command = Command::new(&path);
        command.arg("--target=wasm32-wasi");
        (command, path.display().to_string())
    };
    if let Some(named) = env::var_os("VPNHOST_GUEST_CC").filter(|name| !name.is_empty()) {
        return Ok(clang(named.into()));
    }
    let has_library = Path::new(LIBRARY).is_file();
    if let Some(found) = CLANGS.iter().find_map(|name| on_path(name)).filter(|_| has_library) {
        return Ok(clang(found));
    }
    let zig = |mut command: Command, name: &str| {
        command.args(["cc", "-target", "wasm32-wasi"]);
        (command, name.to_owned())
    };
    if let Some(found) = on_path("zig") {
        return Ok(zig(Command::new(&found), &found.display().to_string()));
    }
    if on_path("python3").is_none() {
        return Err(BuildError::NoCCompiler);
    }
    let programs = python_packages(job)?;
    let mut command = Command::new(programs.join("python"));
    command.args(["-m", "ziglang"]);
    Ok(zig(command, "ziglang"))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|directory| directory.join(program)).find(|file| file.is_file())
}
