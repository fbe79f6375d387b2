// Package conformance compares the messages of the package envelope/protos, which are encoded by
// hand, with the file runtime.proto and a real Protocol Buffers runtime, whose messages its folder
// messages passes between components. It is a module of its own, so that nobody else needs that
// runtime.
package conformance
