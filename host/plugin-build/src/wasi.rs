//! WASI, virtualised to nothing: what a C library imports of it is there, and does nothing.

use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, Module, TypeSection, ValType,
};
use wasmparser::{CompositeInnerType, Parser, Payload, TypeRef};

/// The module that C libraries import WASI from.
pub(crate) const MODULE: &str = "wasi_snapshot_preview1";
/// The error number of WASI for a function that is not there.
const NOSYS: i32 = 52;

/// Returns a module that stands for what a module imports of WASI: each function answers that it is not supported, and one
/// that answers nothing (`proc_exit`) ends the call. None where it imports nothing of it, or is no module.
pub(crate) fn powerless(module: &[u8]) -> Option<Vec<u8>> {
    let functions = imported(module).ok()?;
    if functions.is_empty() {
        return None;
    }
    let (mut types, mut declared) = (TypeSection::new(), FunctionSection::new());
    let (mut exports, mut bodies) = (ExportSection::new(), CodeSection::new());
    for (index, (name, parameters, results)) in (0u32..).zip(&functions) {
        types.ty().function(parameters.iter().copied(), results.iter().copied());
        declared.function(index);
        exports.export(name, ExportKind::Func, index);
        let mut body = Function::new([]);
        match results.as_slice() {
            [ValType::I32] => body.instructions().i32_const(NOSYS).end(),
            _ => body.instructions().unreachable().end(),
        };
        bodies.function(&body);
    }
    let mut stub = Module::new();
    stub.section(&types).section(&declared).section(&exports).section(&bodies);
    Some(stub.finish())
}

type Imported = (String, Vec<ValType>, Vec<ValType>);

fn imported(module: &[u8]) -> wasmparser::Result<Vec<Imported>> {
    let (mut types, mut functions) = (Vec::new(), Vec::new());
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload?;
        if let Payload::TypeSection(section) = payload {
            for group in section {
                types.extend(group?.into_types().map(|it| it.composite_type.inner));
            }
        } else if let Payload::ImportSection(section) = payload {
            for import in section.into_imports() {
                let import = import?;
                let TypeRef::Func(index) = import.ty else { continue };
                let ty = usize::try_from(index).ok().and_then(|index| types.get(index));
                if let (MODULE, Some(CompositeInnerType::Func(ty))) = (import.module, ty) {
                    functions.push((import.name.to_owned(), kinds(ty.params()), kinds(ty.results())));
                }
            }
        }
    }
    Ok(functions)
}

/// WASI knows numbers only.
fn kinds(types: &[wasmparser::ValType]) -> Vec<ValType> {
    let kind = |ty: &wasmparser::ValType| match ty {
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::I32 | wasmparser::ValType::V128 | wasmparser::ValType::Ref(_) => ValType::I32,
    };
    types.iter().map(kind).collect()
}

#[cfg(test)]
mod tests {
    use wasm_encoder::{EntityType, ImportSection};

    use super::*;

    #[test]
    fn each_function_of_wasi_is_there_and_nothing_else() {
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32, ValType::I64], [ValType::I32]);
        types.ty().function([ValType::I32], []);
        let mut imports = ImportSection::new();
        imports.import(MODULE, "fd_seek", EntityType::Function(0));
        imports.import("vpnhost:policy/log@0.1.0", "write", EntityType::Function(1));
        imports.import(MODULE, "proc_exit", EntityType::Function(1));
        let mut module = Module::new();
        module.section(&types).section(&imports);
        let stub = powerless(&module.finish()).unwrap();
        wasmparser::validate(&stub).unwrap();
        let mut exported = Vec::new();
        for payload in Parser::new(0).parse_all(&stub) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                exported.extend(section.into_iter().map(|it| it.unwrap().name.to_owned()));
            }
        }
        assert_eq!(exported, ["fd_seek", "proc_exit"]);
    }

    #[test]
    fn who_imports_nothing_of_wasi_gets_nothing() {
        assert_eq!(powerless(&Module::new().finish()), None);
        assert_eq!(powerless(b"no module"), None);
    }
}
