// Package message has the messages between envelopes and weavelets, with the names, the fields and
// the bytes of Service Weaver v0.20, and their frames: four bytes of length, little-endian, and the
// bytes of the message. They are written by hand so that applications link no Protocol Buffers
// runtime. Fields from number 1000 on are extensions, which a peer that knows only v0.20 skips; the
// fields with the numbers 2, 5 and 6 of the handshake are those of older versions.
//
// Others use these messages by the package envelope/protos, beside whose file runtime.proto the same
// messages are described. They are the vocabulary of the conversation and of nothing else.
package message
