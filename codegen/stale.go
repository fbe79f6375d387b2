package codegen

// ABI is the version of this package that generated code has to be made for. When it changes,
// the older types stay, so that the compiler can name both.
type ABI = ABI1

// Stale_run_divisi_generate does nothing. Generated code calls it with what it was generated
// from: if that has changed, the arguments do not fit any more, and the compiler's message has
// this name in it.
func Stale_run_divisi_generate[T any](T) struct{} { return struct{}{} }
