// Package system is for programs that are a whole distributed system. Such a program starts other
// programs by calling functions, which take what they depend on as arguments:
//
//	func main() { system.Run("orderd", deploy) }
//
//	func deploy(ctx context.Context, n *system.Nursery, h *system.Host) error {
//		dir, err := h.Dir("positiond")
//		if err != nil {
//			return err
//		}
//		positiond, err := StartPositiond(ctx, n, h, dir)
//		if err != nil {
//			return err
//		}
//		orders, err := h.Listen(ctx, n, "orders", "localhost:7000")
//		if err != nil {
//			return err
//		}
//		_, err = StartOrderd(ctx, n, h, positiond, orders)
//		return err
//	}
//
// Running the program deploys the system. Running it again finds what runs, and leaves it as it is; running
// its next version replaces what has changed, and loses no connection. The program may be killed at any time:
// what it has started goes on, and is restarted when it fails, for a small process of the same program, the
// keeper, holds it. Nothing else has to be installed.
//
// # Start functions
//
// A start function is an ordinary function. It takes a context, a nursery, a host and its dependencies, starts
// something, and returns when that can be used, with what others need to use it:
//
//	// Positiond is where positions are told.
//	type Positiond struct{ Socket system.File }
//
//	func StartPositiond(ctx context.Context, n *system.Nursery, h *system.Host, dir system.Dir) (*Positiond, error) {
//		_, err := h.Ensure(ctx, n, system.Spec{
//			Name: "positiond", Program: "positiond", Args: []any{"--verbose"}, Dir: dir, Ready: "file:socket",
//		})
//		return &Positiond{dir.File("socket")}, err
//	}
//
// It says what is to be there, and may be run again at any time: [Host.Listen] returns the same socket as
// before, and [Host.Ensure] adopts what runs, replaces what runs in another way, or starts what is missing. What
// belongs together is found by its key: the path of the nursery, such as /orderd/eu, and a name in it. To have
// something twice, call its start function twice, each in a [Scope] of its own:
//
//	eu, err := system.Start(ctx, n, system.Scope{Name: "eu"}, func(ctx context.Context, n *system.Nursery) (*Orderd, error) {
//		return StartAll(ctx, n, h, "localhost:7001")
//	})
//
// The context of a start function is for the start alone, and ends with it. What is started belongs to the
// nursery. A value that a start function returns says where something is, by sockets and folders; these stay
// the same when it is restarted or replaced, so whoever has the value goes on using it.
//
// # When something fails
//
// A nursery is a supervisor. A server that ends is started again, after a random time that grows; what its end
// means for the others in the nursery is the nursery's [Strategy]. What fails too often takes its nursery with
// it, and then the one around that decides. At the top it stays down, is reported, and is tried again now and
// then; nothing else is disturbed.
//
// # When the program ends
//
// When the function that [Run] is given has returned, the program has settled. What runs in its domain and was
// not asked for is reported, and stopped after [Program.Grace]. If that function returns an error instead, what
// this run has started is stopped, and nothing else: a version that dies half-way claims nothing and stops
// nothing. SIGTERM and SIGKILL end the program alone. Ctrl-C stops everything, in the reverse order of its
// start.
//
// Package systemtest runs the same functions in a test.
package system
