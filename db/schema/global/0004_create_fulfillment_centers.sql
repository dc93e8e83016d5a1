-- The fulfilment centres: where they are and where their rows are homed.
CREATE TABLE IF NOT EXISTS fulfillment_centers (
  fc_id text NOT NULL, -- for example "iad1"
  region text NOT NULL, -- home of its rows in cellar_regional
  name text NOT NULL, -- for people
  city text NOT NULL, -- metro area
  country_code text NOT NULL, -- ISO 3166-1 alpha-2
  latitude float8 NOT NULL, -- degrees north
  longitude float8 NOT NULL, -- degrees east
  CONSTRAINT fulfillment_centers_pk PRIMARY KEY (fc_id),
  CONSTRAINT fulfillment_centers_region_key UNIQUE (region, fc_id),
  CONSTRAINT fulfillment_centers_are_on_earth CHECK (latitude BETWEEN -90 AND 90 AND longitude BETWEEN -180 AND 180)
) /*@LOCALITY GLOBAL@*/;
