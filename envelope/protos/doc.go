// Package protos has the messages between envelopes and weavelets, with the names, the fields, the JSON
// and the bytes of Service Weaver v0.20. The file runtime.proto describes them. Fields from number 1000
// on are extensions, which a peer that knows only v0.20 skips.
package protos
