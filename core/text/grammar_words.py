"""Vocabulary of the general text pool: what an image can show, by kind. Comma lists, read by core.text.grammar.

The order within a list matters to nothing but which pairs are made; the length of a list to how many.
"""

WORDS: dict[str, str] = {
    # how things look
    "colour": """red, orange, yellow, green, blue, purple, pink, brown, black, white, grey, turquoise, beige,
        golden, silver, maroon, navy blue, lime green, teal, lavender, crimson, cream-coloured""",
    "tone": "pastel, neon, muted, warm, cool, earthy, vivid, faded, bright, dark",
    "texture": """rough, smooth, fuzzy, bumpy, glossy, matte, cracked, wrinkled, grainy, slimy, prickly, velvety,
        rusty, peeling, polished, woven, feathery, scaly, spongy, translucent, sticky, frayed""",
    "pattern": """striped, polka-dot, checkered, zigzag, floral, plaid, paisley, herringbone, camouflage,
        houndstooth, marbled, tie-dye, leopard-print, zebra-striped, honeycomb, spiral, mosaic, tartan, fishnet,
        argyle, tiled, chevron, lattice, tessellated""",
    "shape": """circle, square, triangle, rectangle, oval, star, heart, hexagon, diamond, spiral, crescent, cross,
        arrow, cube, cylinder, cone, sphere, pyramid, ring, arch, wave, grid, dome, octagon""",
    "material": """wood, glass, metal, plastic, leather, stone, brick, concrete, marble, paper, cardboard, wool,
        silk, denim, ceramic, rubber, bamboo, straw, gold, copper, bronze, steel, clay, ice, wax, lace, velvet,
        porcelain""",
    "line": """diagonal lines, vertical lines, horizontal lines, concentric circles, parallel curves, radiating
        lines, crossing wires, jagged edges, soft curves, tangled threads, evenly spaced dots, scattered specks,
        overlapping layers, sharp corners, thin outlines, thick brush strokes""",
    # where and when
    "country": """France, Italy, Spain, Germany, Greece, Portugal, Ireland, Norway, Iceland, Poland, Russia, Turkey,
        Egypt, Morocco, Kenya, Nigeria, South Africa, Ethiopia, Tanzania, Israel, Iran, India, Nepal, Thailand,
        Vietnam, Cambodia, Indonesia, the Philippines, China, Japan, South Korea, Mongolia, Australia, New Zealand,
        Canada, the United States, Mexico, Cuba, Jamaica, Guatemala, Colombia, Peru, Bolivia, Brazil, Chile,
        Argentina, Scotland, Switzerland, Austria, the Netherlands, Sweden, Finland, Hungary, Croatia, Ukraine,
        Saudi Arabia""",
    "city": """Paris, London, Rome, Venice, New York, Tokyo, Moscow, Berlin, Amsterdam, Barcelona, Istanbul, Cairo,
        Dubai, Mumbai, Bangkok, Hong Kong, Shanghai, Singapore, Sydney, Toronto, San Francisco, Las Vegas, Chicago,
        Havana, Rio de Janeiro, Buenos Aires, Lisbon, Prague, Vienna, Athens, Jerusalem, Marrakesh, Kyoto, Seoul""",
    "outdoors": """beach, forest, desert, mountain, meadow, lake, river, waterfall, swamp, canyon, glacier, volcano,
        jungle, cliff, valley, island, savanna, coral reef, cave, pond, vineyard, wheat field, rice terrace,
        orchard, garden, sand dune, rocky shore, hillside, snowfield, marsh, hot spring, fjord""",
    "built": """street, alley, bridge, harbour, market, playground, car park, train station, airport, stadium, farm,
        construction site, cemetery, skatepark, swimming pool, zoo, amusement park, campsite, castle, lighthouse,
        skyscraper, temple, mosque, cathedral, barn, windmill, petrol station, highway, town square, pier""",
    "indoors": """kitchen, bedroom, living room, bathroom, classroom, office, library, hospital room, supermarket,
        restaurant, cafe, bar, gym, garage, workshop, laboratory, museum, theatre, church, factory, warehouse,
        greenhouse, attic, basement, hallway, staircase, elevator, nursery, bakery, barbershop, concert hall, locker
        room, laundry room, shopping mall, courtroom, ballroom, wine cellar""",
    "weather": """rain, snow, fog, mist, hail, a thunderstorm, a sandstorm, strong wind, bright sunshine, drizzle, a
        blizzard, a heat haze, an overcast sky, a clear sky, scattered clouds, storm clouds, frost, a rainbow""",
    "time": "dawn, sunrise, noon, dusk, sunset, night, midnight, twilight, golden hour, blue hour",
    "season": "spring, summer, autumn, winter, the rainy season, the dry season",
    "era": """the Stone Age, ancient Egypt, ancient Rome, the Middle Ages, the Renaissance, the Victorian era, the
        1920s, the 1950s, the 1960s, the 1970s, the 1980s, the 1990s, the distant future""",
    # how it was made
    "style": """watercolour painting, oil painting, pencil sketch, charcoal drawing, cartoon, comic strip, woodcut,
        etching, mosaic, pixel art picture, 3D rendering, low-poly model, line drawing, ink drawing, pastel drawing,
        collage, graffiti, stained glass window, origami model, embroidery, sculpture, clay figure, paper cutout,
        blueprint, children's drawing, icon, logo, tattoo, engraving, plush toy, silhouette, poster, postage stamp,
        fresco""",
    "photo": """black and white, sepia, overexposed, underexposed, blurry, grainy, high-contrast, low-resolution,
        faded, vintage, polaroid, infrared, double-exposure, long-exposure, tilt-shift, backlit, heavily filtered,
        cropped, oversaturated, candid, studio, X-ray, night-vision, thermal, underwater, microscope, satellite,
        drone, fish-eye, panoramic, macro, wide-angle, telephoto, soft-focus, time-lapse, pixelated, scanned,
        watermarked""",
    "view": """from above, from below, from behind, from the side, from far away, from very close, from a low angle,
        at eye level, through a window, through a fence, in a mirror, upside down, at a tilt, from inside a car,
        from a bird's-eye view, from a worm's-eye view, reflected in water, out of focus, half hidden, cut off by
        the frame""",
    "composition": """a symmetrical arrangement, a centred subject, a subject in the lower left corner, a subject at
        the right edge, a lot of empty space, a cluttered background, a plain white background, a plain black
        background, a blurred background, a shallow depth of field, a strong vanishing point, a frame within a
        frame, repeated objects, leading lines, a low horizon, a high horizon, a tight crop, an unbalanced layout,
        two halves side by side, a grid of small pictures, a dark vignette, a wide white border, a shadow across the
        middle, objects in a row""",
    "light": """soft light, harsh light, candlelight, neon light, moonlight, sunlight through trees, a spotlight,
        firelight, backlighting, flash, fluorescent light, dappled shade, deep shadow, stage lighting, lens flare,
        light from a window, street lamps, fairy lights, an eerie glow, reflected light""",
    "mood": """joyful, gloomy, peaceful, tense, romantic, mysterious, nostalgic, chaotic, lonely, playful, solemn,
        dramatic, cosy, eerie, festive, hopeful, melancholic, energetic, dreamlike, menacing, serene, humorous,
        majestic, awkward""",
    # living things
    "pet": "dog, puppy, cat, kitten, rabbit, hamster, guinea pig, parrot, goldfish, budgie, ferret, tortoise",
    "farm": "cow, horse, pig, sheep, goat, chicken, rooster, duck, goose, turkey, donkey, llama, calf, foal",
    "wild": """lion, tiger, elephant, giraffe, zebra, rhinoceros, hippopotamus, bear, polar bear, panda, wolf, fox,
        deer, moose, kangaroo, koala, monkey, gorilla, chimpanzee, leopard, cheetah, squirrel, hedgehog, raccoon,
        beaver, otter, bat, camel, buffalo, antelope, badger, skunk, sloth, armadillo, meerkat, hyena""",
    "bird": """eagle, owl, hawk, sparrow, robin, crow, pigeon, seagull, swan, flamingo, peacock, penguin, ostrich,
        hummingbird, woodpecker, pelican, stork, heron, toucan, vulture, kingfisher, swallow""",
    "sea": """shark, whale, dolphin, seal, octopus, jellyfish, crab, lobster, starfish, seahorse, sea turtle,
        stingray, eel, salmon, clownfish, squid, sea urchin, walrus""",
    "small": """butterfly, bee, ant, spider, beetle, ladybird, dragonfly, grasshopper, snail, worm, mosquito, moth,
        caterpillar, scorpion, frog, toad, lizard, snake, crocodile, chameleon, gecko, newt, wasp, centipede""",
    "plant": """rose, tulip, sunflower, daisy, orchid, lily, cactus, fern, palm tree, pine tree, oak tree, cherry
        blossom, mushroom, ivy, moss, bamboo, lavender, dandelion, lotus, poppy, seaweed, clover, maple leaf, bonsai""",
    "fur": "spotted, striped, fluffy, short-haired, white, black, brown, ginger, grey, long-eared, wet, sleepy",
    # people
    "person": """man, woman, boy, girl, baby, toddler, teenager, elderly man, elderly woman, couple, family, crowd,
        group of friends, mother and child, father and child, pair of twins, bride, groom, queue of people""",
    "job": """doctor, nurse, teacher, firefighter, police officer, soldier, chef, waiter, farmer, fisherman,
        carpenter, plumber, electrician, mechanic, pilot, astronaut, scientist, judge, priest, monk, musician,
        dancer, painter, photographer, athlete, clown, magician, hairdresser, tailor, baker, butcher, miner, sailor,
        lifeguard, builder, cleaner, librarian, news presenter, salesperson, gardener, welder, dentist, surgeon,
        referee, cowboy, king, queen, knight, beekeeper, postal worker""",
    "doing": """running, jumping, sitting, sleeping, laughing, crying, shouting, waving, pointing, reading, writing,
        cooking, eating, drinking, singing, dancing, swimming, climbing, walking, cycling, hugging, kissing,
        praying, painting, driving, shopping, studying, resting, yawning, whispering, clapping, thinking,
        stretching, taking a photo, talking on the phone, blowing out candles, looking into the distance, carrying a
        heavy bag""",
    "expression": """happy, sad, angry, surprised, frightened, disgusted, bored, confused, proud, tired, shy, calm,
        worried""",
    "body": """eye, ear, nose, mouth, hand, foot, finger, elbow, knee, shoulder, back, neck, hair, beard, moustache,
        eyebrow, tongue, tooth, fist, tattooed arm, skull, skeleton""",
    "clothing": """hat, scarf, coat, dress, skirt, suit, tie, bow tie, sweater, jacket, raincoat, uniform, swimsuit,
        apron, robe, kimono, sari, helmet, crown, mask, pair of glasses, pair of sunglasses, pair of gloves, pair of
        boots, pair of trainers, pair of jeans, necklace, earring, turban, veil, cape, backpack, handbag, belt,
        wristwatch""",
    # things
    "fruit": """apple, banana, orange, lemon, strawberry, pineapple, watermelon, grape, cherry, peach, pear, mango,
        coconut, kiwi, avocado, tomato, carrot, potato, onion, pepper, cucumber, pumpkin, mushroom, lettuce,
        cabbage, aubergine, sweetcorn cob, clove of garlic""",
    "dish": """pizza, hamburger, sandwich, salad, soup, sushi, noodles, rice, pasta, steak, fried egg, pancakes,
        waffles, chocolate cake, ice cream, bread, cheese, curry, tacos, dumplings, roast chicken, grilled fish,
        chips, cookies, doughnuts, pie, porridge, kebab, oysters, croissants""",
    "drink": "coffee, tea, beer, red wine, orange juice, milk, water, lemonade, hot chocolate, champagne, a cocktail",
    "vehicle": """car, bus, truck, van, taxi, motorcycle, bicycle, scooter, train, tram, aeroplane, helicopter,
        sailing boat, ship, ferry, canoe, submarine, tractor, fire engine, ambulance, police car, racing car,
        hot-air balloon, rocket, bulldozer, tank, horse-drawn carriage, sledge, skateboard, cable car, hovercraft,
        rickshaw""",
    "furniture": """chair, table, sofa, bed, lamp, desk, bookshelf, cupboard, mirror, rug, curtain, stool, bench,
        wardrobe, chandelier, cradle, bathtub, sink, fireplace, door, window, staircase, picture frame, vase,
        pillow, candle""",
    "tool": """hammer, saw, screwdriver, drill, spanner, axe, shovel, ladder, rope, nail, paintbrush, pair of
        scissors, knife, fork, spoon, frying pan, kettle, teapot, bowl, cup, bottle, basket, bucket, broom, key,
        padlock, needle, umbrella""",
    "device": """camera, telephone, computer, keyboard, television, radio, clock, calculator, printer, microphone,
        loudspeaker, headset, telescope, microscope, compass, thermometer, typewriter, light bulb, battery, fan,
        robot, traffic light, syringe, stethoscope, oven, washing machine, vacuum cleaner, sewing machine, joystick""",
    "toy": """ball, doll, teddy bear, kite, balloon, puzzle, chess board, playing card, dice, spinning top, toy
        train, building block, rubber duck, snow globe, puppet, yo-yo""",
    "music": """guitar, piano, violin, drum, trumpet, flute, saxophone, harp, cello, accordion, bagpipe, xylophone,
        banjo""",
    "object": """book, newspaper, letter, map, flag, coin, banknote, ticket, gift, trophy, medal, bell, anchor,
        chain, wheel, gear, magnet, feather, shell, bone, stone, egg, nest, web, rope knot, barrel, crate, suitcase,
        tent, globe, hourglass, pencil, envelope, ribbon, button, statue, fountain, sign, billboard, poster,
        flagpole, fence, gate""",
    "sport": """football, basketball, tennis, baseball, golf, rugby, cricket, ice hockey, volleyball, boxing,
        wrestling, judo, gymnastics, skiing, snowboarding, surfing, rowing, sailing, archery, fencing, swimming,
        diving, running, cycling, horse riding, rock climbing, skateboarding, figure skating, table tennis,
        weightlifting""",
    "event": """wedding, birthday party, funeral, graduation, parade, concert, protest, picnic, Christmas
        celebration, carnival, fireworks display, job interview, press conference, auction, religious ceremony,
        family dinner, traffic jam, marathon, school trip, business meeting, house fire, flood, earthquake, rescue,
        harvest, circus show""",
    "scene": """clouds in the sky, waves on the shore, stars at night, a full moon, falling leaves, melting ice,
        burning wood, rising smoke, flowing lava, dripping water, soap bubbles, drops on a window, footprints in the
        sand, tyre tracks, long shadows, broken glass, spilled paint, piles of rubbish, stacked boxes, laundry on a
        line, power lines, city rooftops, tree rings, a spider's web with dew, ripples on water, crowded shelves,
        flying sparks, dust in the air, bare branches, fresh snow, dry cracked mud, an empty road, a winding path, a
        steep slope, a narrow passage, a row of houses, tall grass, overgrown ruins, a muddy puddle, a reflection in
        a puddle""",
    "idea": """freedom, friendship, love, danger, poverty, wealth, childhood, old age, loneliness, teamwork, speed,
        silence, growth, decay, victory, defeat, tradition, technology, religion, war, peace, science, education,
        health, illness, celebration, grief, hunger, luxury, work, leisure, travel, nature, pollution, power, order,
        chaos, balance""",
    # signs and numbers
    "letter": "A, B, C, D, E, F, G, H, I, J, K, L, M, N, O, P, Q, R, S, T, U, V, W, X, Y, Z",
    "digit": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 25, 42, 50, 100, 365, 1000, 1984, 2000, 2024",
    "many": "two, three, four, five, six, seven, eight, ten, twelve, several, dozens of, countless",
    "things": """dogs, cats, birds, horses, people, children, cars, boats, bicycles, balls, balloons, flowers,
        trees, apples, bottles, cups, chairs, books, candles, umbrellas, windows, shoes, hats, coins, eggs, stars,
        fish, sheep, buttons, pencils""",
    "writing": """handwriting, printed text, a newspaper headline, a road sign, a neon sign, a price tag, a licence
        plate, a brand logo, a warning label, a book page, a menu, a musical score, a mathematical formula, a bar
        chart, a pie chart, a map, a table of numbers, a signature, a calendar, a crossword, a computer screen with
        code, a shop front, a street name, Chinese characters, Arabic script, Cyrillic letters, Hebrew letters,
        Greek letters, Japanese writing, Hindi script, a barcode, a date stamp, a speech bubble, a chalkboard,
        subtitles, graffiti tags""",
    "word": """stop, open, closed, sale, exit, welcome, danger, free, love, hello, taxi, police, hotel, peace, no,
        yes, new, happy birthday, thank you, keep out""",
}
