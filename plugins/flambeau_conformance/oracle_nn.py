DEFINITIONS: dict = {}
