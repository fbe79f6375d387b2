// Package codegen is what generated code calls: encoders and decoders, copies, stubs, and the
// list of the components that a binary holds. It is public because generated code lives in its
// users' packages; nobody writes against it by hand, and it changes together with the generator.
//
// The encoding is that of a single build: fields in the order of their declaration, no tags,
// little-endian scalars of fixed width, int and uint as eight bytes, lengths and counts as
// four. A method's key contains a hash of the layout of its arguments and results, so two
// builds that differ never misread each other.
package codegen

// ABI1 is the contract between this package and the code that the generator writes.
type ABI1 struct{}

// This_file_is_stale_run_divisi_generate is the contract that this version of the package
// keeps. Generated code assigns the contract it was written for to it, so that a file written
// for another one fails to compile with this name in the message.
type This_file_is_stale_run_divisi_generate = ABI1
