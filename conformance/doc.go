// Package conformance compares what the root module writes by hand with the real thing: the messages
// of the package envelope/protos with the file runtime.proto and a Protocol Buffers runtime, whose
// messages its folder messages passes between components, and applications with the deployer's
// packages of Service Weaver v0.20.0. It is a module of its own, so that nobody else needs those.
package conformance
