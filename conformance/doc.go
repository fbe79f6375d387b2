// Package conformance compares the messages of the package envelope/protos, which are encoded by
// hand, with the file runtime.proto and a real Protocol Buffers runtime. It is a module of its own,
// so that nobody else needs that runtime.
package conformance
