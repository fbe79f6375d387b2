// Package divisi is for programs that are whole distributed systems.
//
// A program is made of components: Go interfaces, and structs that implement them. Components
// call each other by methods. Run in one process, the calls are Go calls. Run by a deployer,
// every process hosts some of the components, and the calls between them are remote:
//
//	type Reverser interface {
//		Reverse(context.Context, string) (string, error)
//	}
//
//	type reverser struct {
//		divisi.Implements[Reverser]
//	}
//
//	func (*reverser) Reverse(_ context.Context, s string) (string, error) { ... }
//
//	type app struct {
//		divisi.Implements[divisi.Main]
//		reverser divisi.Ref[Reverser]
//		web      divisi.Listener
//	}
//
//	func main() {
//		if err := divisi.Run(context.Background(), serve); err != nil {
//			log.Fatal(err)
//		}
//	}
//
//	func serve(ctx context.Context, a *app) error { ... }
//
// The command "divisi generate" writes the code that connects them. "go run ." runs the program
// in one process; "divisi run ." runs it as many.
//
// The names are those of Service Weaver, whose programming model this is.
package divisi
