package codegen

// ABI1 is the contract between this package and the code that the generator writes.
type ABI1 struct{}

// ABI is the contract that this version of the package keeps. Generated code names the one that it
// was written for. When the contract changes, the older type stays, so that the compiler can name
// both.
type ABI = ABI1

// Stale_run_divisi_generate does nothing. Generated code calls it with what it was generated from.
// When that has changed, the arguments no longer fit, and the compiler's message contains this name.
func Stale_run_divisi_generate[T any](T) struct{} { return struct{}{} }
