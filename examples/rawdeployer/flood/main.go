// Flood is an application that logs without a pause. It creates the file that its argument names
// once it has logged more than pipes and buffers hold.
package main

import (
	"context"
	"log"
	"os"

	"github.com/divisi-go/divisi"
)

const much = 200_000 // entries

type app struct{ divisi.Implements[divisi.Main] }

func main() {
	err := divisi.Run(context.Background(), func(ctx context.Context, a *app) error {
		logger := a.Logger(ctx)
		for n := 0; ctx.Err() == nil; n++ {
			logger.Info("flood", "n", n)
			if n == much && len(os.Args) > 1 {
				if err := os.WriteFile(os.Args[1], nil, 0o600); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
