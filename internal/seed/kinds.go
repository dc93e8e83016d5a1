package seed

// kind of product: what it can be called, be made of and cost.
type kind struct {
	path     []string
	nouns    []string
	features []string // said in the title, one or two
	colours  []string
	material []string
	sizes    []string
	uses     []string // a sentence of the description, about the noun
	low      int64    // cents
	high     int64
	grams    [2]int64
}

var (
	plain   = []string{"Black", "White", "Graphite", "Silver", "Navy", "Sand", "Forest Green", "Burgundy"}
	bright  = []string{"Red", "Yellow", "Sky Blue", "Mint", "Coral", "Violet", "Orange", "Pink"}
	natural = []string{"Oak", "Walnut", "Natural", "Charcoal", "Ivory", "Slate"}
)

// brands are invented; any likeness to a company is chance.
var brands = []string{
	"Aldermoor", "Bramley & Fox", "Calder", "Dovetail", "Everfield", "Fennick", "Galehart", "Harrow Lane", "Ironbark", "Juniper Row", "Kestrel",
	"Lumo", "Marrow", "Northpeak", "Ostrava", "Pinecliff", "Quillon", "Ridgeway", "Saltbox", "Tamarack", "Umberline", "Vanta", "Wexford", "Yarrow", "Zephyra",
	"Brightwell", "Coppertree", "Duskwood", "Elmhurst", "Foxglove", "Granary", "Holloway", "Inkwell", "Larkspur", "Millstone", "Nimbus", "Orchard Hill",
}

// series give brands their lines of models.
var series = []string{
	"Aero", "Atlas", "Breeze", "Core", "Crest", "Drift", "Echo", "Ember", "Flint", "Glide", "Halo", "Haven", "Lark", "Lumen", "Mesa", "Mira", "Nova",
	"Orbit", "Pace", "Pulse", "Quest", "Ridge", "Sable", "Sierra", "Solo", "Spark", "Stride", "Summit", "Tempo", "Terra", "Tidal", "Vale", "Vista", "Willow", "Zen",
}

var kinds = []kind{
	{[]string{"Electronics", "Headphones"}, []string{"Wireless Headphones", "In-Ear Headphones", "Over-Ear Headphones", "Sports Earbuds", "Studio Headphones"},
		[]string{"Noise Cancelling", "40-Hour Battery", "Foldable", "with Microphone", "Bluetooth 5.4", "Waterproof"}, plain, []string{"aluminium", "recycled plastic", "steel"}, nil,
		[]string{"keep the noise of a train out", "sit lightly through a long day of calls", "stay in place on a run"}, 1900, 39900, [2]int64{40, 380}},
	{[]string{"Electronics", "Monitors"}, []string{"Monitor", "Curved Monitor", "Portable Monitor", "Gaming Monitor"},
		[]string{"4K", "QHD", "144 Hz", "USB-C", "HDR", "Height Adjustable"}, []string{"Black", "White", "Silver"}, []string{"aluminium", "plastic"}, []string{"24 inch", "27 inch", "32 inch", "34 inch"},
		[]string{"shows two pages side by side", "is kind to the eyes after dark", "fits a small desk"}, 9900, 119900, [2]int64{2500, 9000}},
	{[]string{"Electronics", "Cables & Chargers"}, []string{"USB-C Cable", "Wall Charger", "Power Bank", "HDMI Cable", "Charging Station"},
		[]string{"Braided", "65 W", "Fast Charging", "3-Pack", "Right Angle", "GaN"}, plain, []string{"nylon", "recycled plastic"}, []string{"1 m", "2 m", "3 m"},
		[]string{"charges a laptop and a phone at once", "does not tangle in a bag", "survives being bent a thousand times"}, 700, 6900, [2]int64{30, 450}},
	{[]string{"Electronics", "Smart Home"}, []string{"Smart Bulb", "Smart Plug", "Video Doorbell", "Motion Sensor", "Thermostat", "Indoor Camera"},
		[]string{"Dimmable", "Energy Monitoring", "Night Vision", "2-Pack", "Matter Compatible", "Battery Powered"}, []string{"White", "Black"}, []string{"plastic", "glass"}, nil,
		[]string{"turns itself off when nobody is home", "needs no hub", "is installed in ten minutes"}, 1200, 24900, [2]int64{60, 700}},
	{[]string{"Home & Kitchen", "Cookware"}, []string{"Frying Pan", "Saucepan", "Dutch Oven", "Wok", "Stock Pot", "Grill Pan"},
		[]string{"Non-Stick", "Induction", "with Lid", "Oven Safe", "Pre-Seasoned", "Tri-Ply"}, []string{"Black", "Steel", "Red", "Cream"}, []string{"cast iron", "stainless steel", "aluminium", "enamelled iron"},
		[]string{"20 cm", "24 cm", "28 cm", "30 cm"}, []string{"browns evenly to the edge", "goes from the hob to the oven", "cooks for a family of six"}, 1800, 24900, [2]int64{700, 6000}},
	{[]string{"Home & Kitchen", "Coffee & Tea"}, []string{"Kettle", "French Press", "Espresso Machine", "Coffee Grinder", "Teapot", "Pour-Over Set"},
		[]string{"Gooseneck", "Temperature Control", "Double Wall", "Burr", "Quiet", "Programmable"}, []string{"Matte Black", "Copper", "Steel", "White"}, []string{"stainless steel", "borosilicate glass", "ceramic"},
		[]string{"0.8 l", "1 l", "1.7 l"}, []string{"pours where it is meant to", "keeps the second cup hot", "is quiet enough for early mornings"}, 1900, 64900, [2]int64{400, 9000}},
	{[]string{"Home & Kitchen", "Bedding"}, []string{"Duvet Cover Set", "Fitted Sheet", "Pillow", "Weighted Blanket", "Mattress Topper"},
		[]string{"Organic", "Cooling", "400 Thread Count", "Hypoallergenic", "Reversible", "Washed"}, []string{"White", "Stone", "Sage", "Dusk Blue", "Terracotta"}, []string{"cotton", "linen", "bamboo viscose", "percale"},
		[]string{"Single", "Double", "King", "Super King"}, []string{"gets softer with every wash", "stays cool through a summer night", "keeps its shape"}, 1500, 18900, [2]int64{600, 7000}},
	{[]string{"Furniture", "Office Chairs"}, []string{"Office Chair", "Desk Chair", "Drafting Chair", "Ergonomic Chair"},
		[]string{"Mesh", "High Back", "with Headrest", "Lumbar Support", "Swivel", "Adjustable Arms"}, plain, []string{"mesh", "bonded leather", "wool felt"}, nil,
		[]string{"follows the back when it moves", "is put together in a quarter of an hour", "rolls quietly on wood"}, 8900, 74900, [2]int64{9000, 24000}},
	{[]string{"Furniture", "Shelving"}, []string{"Bookcase", "Wall Shelf", "Ladder Shelf", "Shoe Rack", "Storage Cabinet"},
		[]string{"5-Tier", "Floating", "Narrow", "with Doors", "Modular", "Solid"}, natural, []string{"solid oak", "bamboo", "steel", "veneered board"}, []string{"60 cm", "80 cm", "120 cm"},
		[]string{"carries a row of heavy books", "fits behind a door", "hangs from two screws"}, 2400, 39900, [2]int64{2000, 38000}},
	{[]string{"Books", "Cooking"}, []string{"Cookbook", "Baking Book", "Bread Book", "Vegetable Kitchen"},
		[]string{"Illustrated", "Everyday", "30-Minute", "Seasonal", "Complete", "Pocket"}, nil, []string{"hardcover", "paperback"}, nil,
		[]string{"has a recipe for every week of the year", "explains why and not only how", "needs nothing that a corner shop does not have"}, 1200, 4500, [2]int64{300, 1500}},
	{[]string{"Books", "Children's Books"}, []string{"Picture Book", "Bedtime Stories", "Counting Book", "Atlas for Children"},
		[]string{"Illustrated", "Lift-the-Flap", "First", "Big", "Read-Aloud", "Board"}, nil, []string{"hardcover", "board", "paperback"}, nil,
		[]string{"is read again the same evening", "survives being chewed", "ends just before sleep"}, 700, 2900, [2]int64{150, 1200}},
	{[]string{"Toys & Games", "Building Sets"}, []string{"Building Blocks", "Marble Run", "Wooden Train Set", "Magnetic Tiles"},
		[]string{"100-Piece", "250-Piece", "Starter", "Deluxe", "Glow-in-the-Dark", "Extension"}, bright, []string{"beech wood", "ABS plastic"}, []string{"from 3 years", "from 6 years", "from 8 years"},
		[]string{"fits what is there already", "keeps two children busy and one adult", "goes back into its own box"}, 1500, 14900, [2]int64{400, 4000}},
	{[]string{"Toys & Games", "Board Games"}, []string{"Strategy Board Game", "Family Card Game", "Cooperative Board Game", "1000-Piece Puzzle"},
		[]string{"for 2 Players", "for 2-6 Players", "Travel", "Classic", "Award-Winning", "Quick"}, nil, []string{"cardboard", "wood"}, nil,
		[]string{"takes five minutes to explain", "is over in half an hour", "is different every time"}, 900, 6900, [2]int64{200, 2500}},
	{[]string{"Sports & Outdoors", "Camping"}, []string{"Tent", "Sleeping Bag", "Camping Stove", "Headlamp", "Sleeping Mat", "Cool Box"},
		[]string{"Ultralight", "3-Season", "2-Person", "4-Person", "Self-Inflating", "Waterproof"}, []string{"Forest Green", "Orange", "Slate", "Sand"}, []string{"ripstop nylon", "polyester", "aluminium"}, nil,
		[]string{"packs small enough for a bicycle", "stands up to a night of rain", "is set up by one person"}, 1400, 44900, [2]int64{90, 6500}},
	{[]string{"Sports & Outdoors", "Fitness"}, []string{"Yoga Mat", "Kettlebell", "Resistance Bands", "Foam Roller", "Adjustable Dumbbell", "Jump Rope"},
		[]string{"Non-Slip", "Extra Thick", "Set of 5", "with Strap", "Compact", "Heavy Duty"}, bright, []string{"natural rubber", "cast iron", "cork", "foam"}, []string{"4 kg", "8 kg", "12 kg", "16 kg"},
		[]string{"does not slide on a wooden floor", "fits under a bed", "makes half an hour enough"}, 900, 24900, [2]int64{200, 16500}},
	{[]string{"Clothing", "Jackets"}, []string{"Rain Jacket", "Down Jacket", "Fleece Jacket", "Softshell Jacket", "Parka"},
		[]string{"Waterproof", "Hooded", "Packable", "Windproof", "Insulated", "Two-Way Zip"}, plain, []string{"recycled polyester", "waxed cotton", "merino wool"}, []string{"S", "M", "L", "XL", "XXL"},
		[]string{"folds into its own pocket", "keeps the wind out on a bicycle", "is warm without being heavy"}, 3900, 34900, [2]int64{250, 1400}},
	{[]string{"Clothing", "Shoes"}, []string{"Running Shoes", "Hiking Boots", "Sneakers", "Sandals", "Slippers"},
		[]string{"Lightweight", "Waterproof", "Wide Fit", "Cushioned", "Trail", "Vegan"}, plain, []string{"leather", "knitted mesh", "suede", "canvas"}, []string{"EU 38", "EU 40", "EU 42", "EU 44", "EU 46"},
		[]string{"need no breaking in", "grip on wet rock", "can be resoled"}, 2400, 22900, [2]int64{300, 1600}},
	{[]string{"Garden", "Tools"}, []string{"Pruning Shears", "Spade", "Watering Can", "Garden Hose", "Wheelbarrow", "Leaf Rake"},
		[]string{"Bypass", "Ergonomic", "Expandable", "Rustproof", "Telescopic", "Long Reach"}, []string{"Green", "Black", "Red"}, []string{"forged steel", "stainless steel", "ash wood", "galvanised steel"}, []string{"5 l", "10 l", "15 m", "30 m"},
		[]string{"stays sharp through a season", "lies well in small hands", "hangs on a nail in the shed"}, 900, 15900, [2]int64{150, 14000}},
	{[]string{"Garden", "Planters"}, []string{"Planter", "Hanging Basket", "Raised Bed", "Window Box"},
		[]string{"Self-Watering", "Frost-Proof", "with Saucer", "Set of 3", "Stackable", "UV-Resistant"}, natural, []string{"terracotta", "fibre clay", "larch wood", "recycled plastic"}, []string{"20 cm", "30 cm", "45 cm"},
		[]string{"waters itself for two weeks", "can stay out in winter", "drains where it should"}, 800, 12900, [2]int64{400, 15000}},
	{[]string{"Pets", "Dogs"}, []string{"Dog Bed", "Dog Harness", "Chew Toy", "Dog Leash", "Food Bowl"},
		[]string{"Orthopaedic", "Reflective", "Indestructible", "Washable", "No-Pull", "Slow Feeder"}, plain, []string{"memory foam", "nylon webbing", "natural rubber", "stainless steel"}, []string{"S", "M", "L", "XL"},
		[]string{"comes clean in the machine", "is seen at night from afar", "lasts longer than a week"}, 900, 13900, [2]int64{100, 5000}},
	{[]string{"Beauty", "Skin Care"}, []string{"Face Cream", "Cleansing Oil", "Hand Balm", "Sunscreen", "Serum"},
		[]string{"Fragrance-Free", "SPF 50", "with Niacinamide", "for Sensitive Skin", "Overnight", "Vegan"}, nil, []string{"glass jar", "aluminium tube"}, []string{"30 ml", "50 ml", "100 ml"},
		[]string{"sinks in within a minute", "leaves no white film", "needs a very small amount"}, 800, 5900, [2]int64{60, 300}},
	{[]string{"Grocery", "Pantry"}, []string{"Olive Oil", "Ground Coffee", "Loose Tea", "Dark Chocolate", "Pasta", "Honey"},
		[]string{"Organic", "Single Origin", "Cold Pressed", "Fair Trade", "Family Pack", "Unsweetened"}, nil, []string{"tin", "glass", "paper bag"}, []string{"250 g", "500 g", "1 kg", "750 ml"},
		[]string{"comes from one small valley", "tastes of what it is", "keeps for a year in the dark"}, 300, 3900, [2]int64{200, 1300}},
	{[]string{"Office", "Stationery"}, []string{"Notebook", "Fountain Pen", "Gel Pens", "Desk Organiser", "Weekly Planner"},
		[]string{"Dotted", "A5", "A4", "Refillable", "Set of 12", "Hardcover"}, plain, []string{"recycled paper", "brass", "bamboo", "vegan leather"}, nil,
		[]string{"lies flat when it is open", "does not bleed through", "has room for a whole year"}, 400, 6900, [2]int64{40, 1100}},
	{[]string{"Tools & DIY", "Power Tools"}, []string{"Cordless Drill", "Circular Saw", "Random Orbit Sander", "Impact Driver", "Jigsaw"},
		[]string{"18 V", "12 V", "Brushless", "with 2 Batteries", "Variable Speed", "Compact"}, []string{"Yellow", "Blue", "Green"}, []string{"magnesium housing", "reinforced plastic"}, nil,
		[]string{"drives a hundred long screws on one charge", "is light enough overhead", "collects its own dust"}, 4900, 32900, [2]int64{900, 5500}},
	{[]string{"Baby", "Nursery"}, []string{"Baby Monitor", "Changing Mat", "Crib Mobile", "Sleeping Bag for Babies", "Bottle Warmer"},
		[]string{"Organic", "Wipe-Clean", "with Night Light", "Breathable", "Quiet", "Portable"}, []string{"White", "Sage", "Blush", "Grey"}, []string{"muslin", "cotton", "silicone", "birch wood"}, []string{"0-6 months", "6-18 months"},
		[]string{"works with one hand", "makes no sound when it is put down", "is washed in a minute"}, 1200, 21900, [2]int64{100, 2500}},
	{[]string{"Automotive", "Car Care"}, []string{"Dash Cam", "Tyre Inflator", "Car Vacuum", "Jump Starter", "Microfibre Cloths"},
		[]string{"Front and Rear", "Cordless", "Set of 10", "12 V", "Compact", "with Case"}, []string{"Black", "Grey"}, []string{"plastic", "microfibre", "aluminium"}, nil,
		[]string{"fits the glove box", "starts a cold engine", "reaches under the seats"}, 900, 18900, [2]int64{100, 2600}},
}
