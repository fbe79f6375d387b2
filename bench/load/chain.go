package load

// ChainLength is how many components the application bench/chain has beside the main one.
const ChainLength = 10

// What a process of bench/chain is, beside the application.
const (
	Waiting    = "waiting"    // it does nothing until it is told to end
	PlainChain = "plain"      // it calls ten objects of its own
	GRPCChain  = "gRPC chain" // it is one of eleven processes
)

// Often stands for many calls with nothing, one after the other.
const Often Payload = "often"

// OftenTimes is how many these are.
const OftenTimes = 1000
