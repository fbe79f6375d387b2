// Package discover keeps a value in step with what a store has under a key, while the program runs: its
// configuration, the services that it may use, whatever is set in one place and read in many.
//
//	services := &discover.Value[[]Service]{
//		Name:   "services",
//		Source: discover.Consul{Key: "services-test"},
//	}
//	go services.Serve(ctx)
//
//	err := services.Ready(ctx) // there is a first list now
//	for _, s := range services.Load().Value {
//		...
//	}
//
// A [Value] asks its [Source] again and again, and each answer may take as long as nothing changes, so a
// change is there at once and costs nothing until then. What the source has is decoded, strictly, and
// validated before anybody sees it. Data that is wrong is refused: the last good value stays, and
// [Value.Status], the log, the metrics and [Value.Health] say why. The same is so while the source is away.
//
// Readers take a [Snapshot], which never changes. They hold no lock and wait for nobody.
//
// A Value is a Member of package serve: it is ready as soon as it has a value, and it ends when its context
// does, whatever it waits for.
//
// # Sources
//
// [Consul] follows keys of Consul, or of what speaks its API; [File] a file or a folder; [Fixed] has what it
// is given. [FirstOf] asks others in their order. A source of one's own is one method; a function that
// returns bytes is a [Poller]. Package discovertest tests sources, and has one for tests.
//
// # Where the ideas come from
//
// The loop, its events and the order of its end are those of Peter Monson's article ConfigState and its
// program. That a source is asked with what one has already, and that there is one place that decodes, is
// from runtimevar of gocloud.dev. The rules for Consul are in its documentation of blocking queries.
package discover
