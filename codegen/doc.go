// Package codegen is what generated code calls: encoders and decoders, copies, stubs, and the
// list of the components that a binary holds. It is public because generated code lives in its
// users' packages; nobody writes against it by hand, and it changes together with the generator.
//
// The encoding is that of a single build: fields in the order of their declaration, no tags,
// little-endian scalars of fixed width, int and uint as eight bytes, lengths and counts as
// four. A method's key contains a hash of the layout of its arguments and results, so two
// builds that differ never misread each other.
package codegen
