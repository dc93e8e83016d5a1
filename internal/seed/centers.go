package seed

import (
	_ "embed" // the table below
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cellar-commerce/cellar/internal/geo"
	"github.com/cellar-commerce/cellar/internal/ident"
)

// Center is a fulfilment centre of the network.
type Center struct {
	// ID is the metropolitan area's code and a number, for example "iad2".
	ID          string
	Region      ident.Region
	Name        string
	City        string
	CountryCode string
	At          geo.Point
}

//go:embed centers.csv
var centersCSV string

// FulfillmentCenters of the network, by region: 175.
func FulfillmentCenters() []Center { return append([]Center(nil), centers()...) }

var centers = sync.OnceValue(func() []Center {
	rows := csv.NewReader(strings.NewReader(centersCSV))
	rows.Comment, rows.FieldsPerRecord = '#', 7
	all, err := rows.ReadAll()
	if err != nil {
		panic("seed: the embedded table of centres is damaged: " + err.Error())
	}
	var out []Center
	for _, f := range all {
		lat, latErr := strconv.ParseFloat(f[4], 64)
		lon, lonErr := strconv.ParseFloat(f[5], 64)
		n, nErr := strconv.Atoi(f[6])
		if latErr != nil || lonErr != nil || nErr != nil {
			panic("seed: the embedded table of centres is damaged at " + f[0])
		}
		for i := 1; i <= n; i++ {
			// Centres of one area lie some kilometres apart: a hundredth of a degree is about one.
			at := geo.Point{Lat: lat + 0.04*float64(i-1), Lon: lon - 0.03*float64(i-1)}
			out = append(out, Center{
				ID: fmt.Sprintf("%s%d", f[0], i), Region: ident.Region(f[3]), Name: fmt.Sprintf("%s %d", f[1], i), City: f[1], CountryCode: f[2], At: at,
			})
		}
	}
	return out
})
