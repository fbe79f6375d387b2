// Package door is the keeper as a process of its own, and the way to it: one keeper for one state
// folder, behind one Unix socket that its user alone can reach.
//
// Every program that calls [Enter] first in its main can become a keeper: [Attach] starts one by
// running its own program once more if none answers. That program's package initialisers run in the
// keeper as well, once; starts of servers run none of them.
//
// Whoever looks does it with HTTP:
//
//	curl --unix-socket SOCKET http://divisi/v1/servers
//
//	GET  /v1/keeper           the keeper itself
//	GET  /v1/servers          what it holds;                    parameter domain
//	GET  /v1/sockets          its sockets;                      parameter domain
//	GET  /v1/lookup           servers that are ready;           parameters select, domain: see package selection; after:
//	                                                            see package lookup
//	GET  /v1/exits            how processes have ended;         parameters domain, after
//	GET  /v1/events           what happens, one on a line;      parameters domain, after
//	POST /v1/attach           upgrades to divisi-keeper: the frames of package frame
//
// Whoever changes something, or passes files, upgrades. The first request is attach, which claims a
// domain; then come the methods of a [hold.Session], a verb each. A refusal has a code by which it
// is the same error on both sides.
//
// Another program can take over the keeper in the same process (upgrade): it gets all descriptors, the
// whole state, and the connections of clients with what they have asked, and answers that. The upgrade
// itself is answered by whoever goes on.
//
// Members are added to what is said, never renamed, and readers skip what they do not know. The
// protocol has a number; a keeper serves its own and the one before.
package door
